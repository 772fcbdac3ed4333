// IntrusiveList: a doubly linked list whose links lie in the elements; it allocates nothing.
//
// T has fields `T* next` and `T* previous`. An element is in at most one list at a time.
// Room: base. Thread rule: the owner's lock.
#pragma once

#include <cstddef>

#include "src/base/check.h"

namespace mesh {

template <typename T>
class IntrusiveList {
 public:
  bool empty() const { return head_ == nullptr; }
  size_t size() const { return size_; }
  T* front() const { return head_; }

  void PushFront(T* element) {
    element->previous = nullptr;
    element->next = head_;
    if (head_ != nullptr) {
      head_->previous = element;
    } else {
      tail_ = element;
    }
    head_ = element;
    size_++;
  }

  void PushBack(T* element) {
    element->next = nullptr;
    element->previous = tail_;
    if (tail_ != nullptr) {
      tail_->next = element;
    } else {
      head_ = element;
    }
    tail_ = element;
    size_++;
  }

  void Remove(T* element) {
    MESH_DCHECK(size_ > 0);
    (element->previous != nullptr ? element->previous->next : head_) = element->next;
    (element->next != nullptr ? element->next->previous : tail_) = element->previous;
    element->next = nullptr;
    element->previous = nullptr;
    size_--;
  }

  T* PopFront() {
    T* element = head_;
    if (element != nullptr) Remove(element);
    return element;
  }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;
  size_t size_ = 0;
};

}  // namespace mesh

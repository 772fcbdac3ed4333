// IntrusiveList: a doubly linked list whose links lie in the elements; it allocates nothing.
//
// T has fields `T* next_` and `T* previous_`, and this list as a friend. An element is in at most
// one list at a time.
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
  static T* Next(const T* element) { return element->next_; }

  void PushFront(T* element) {
    element->previous_ = nullptr;
    element->next_ = head_;
    if (head_ != nullptr) {
      head_->previous_ = element;
    } else {
      tail_ = element;
    }
    head_ = element;
    size_++;
  }

  void PushBack(T* element) {
    element->next_ = nullptr;
    element->previous_ = tail_;
    if (tail_ != nullptr) {
      tail_->next_ = element;
    } else {
      head_ = element;
    }
    tail_ = element;
    size_++;
  }

  void Remove(T* element) {
    MESH_DCHECK(size_ > 0);
    (element->previous_ != nullptr ? element->previous_->next_ : head_) = element->next_;
    (element->next_ != nullptr ? element->next_->previous_ : tail_) = element->previous_;
    element->next_ = nullptr;
    element->previous_ = nullptr;
    size_--;
  }

  T* PopFront() {
    T* element = head_;
    if (element != nullptr) Remove(element);
    return element;
  }

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  T* head_ = nullptr;
  T* tail_ = nullptr;
  size_t size_ = 0;
};

}  // namespace mesh

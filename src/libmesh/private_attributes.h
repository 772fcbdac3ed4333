// PrivateAttributes: the attributes that a thread's object is made with, without "shared between
// processes" if it lies in memory that may be meshed (interpose_shared.cc says why).
//
// Room: libmesh. Thread rule: a local variable.
#pragma once

#include <pthread.h>

#include "src/runtime/hooks.h"

namespace mesh {

template <typename Attributes>
class PrivateAttributes {
 public:
  // Args: attributes: the program's, or null. set_shared: pthread_..attr_setpshared of the kind.
  PrivateAttributes(const void* object, const Attributes* attributes,
                    int (*set_shared)(Attributes*, int))
      : attributes_(attributes) {
    if (attributes == nullptr || !MayBeMeshed(object)) return;
    copy_ = *attributes;
    if (set_shared(&copy_, PTHREAD_PROCESS_PRIVATE) == 0) attributes_ = &copy_;
  }
  PrivateAttributes(const PrivateAttributes&) = delete;
  PrivateAttributes& operator=(const PrivateAttributes&) = delete;

  // Valid while this lives.
  const Attributes* get() const { return attributes_; }

 private:
  const Attributes* attributes_;
  Attributes copy_;
};

}  // namespace mesh

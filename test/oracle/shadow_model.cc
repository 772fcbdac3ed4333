// See shadow_model.h.
#include "test/oracle/shadow_model.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "src/runtime/heap.h"
#include "src/runtime/runtime.h"
#include "src/secure/policy.h"

namespace mesh {
namespace {

constexpr size_t kPage = 4096;
// Of longer objects only both ends and a word of each page are written and read.
constexpr size_t kWholeLimit = 8192;
constexpr size_t kEveryAlignment = sizeof(void*) * 2;

void* MakeObject(void*, size_t size, size_t alignment, bool zeroed) {
  if (zeroed) return Calloc(size);
  return alignment > 0 ? AlignedAlloc(alignment, size) : Malloc(size);
}

void* ResizeObject(void*, void* object, size_t size) { return Realloc(object, size); }

constexpr ShadowModel::Source kMallocFamily = {nullptr, MakeObject, ResizeObject, true};

uint64_t PatternWord(const char* object, uint64_t stamp, size_t offset) {
  uint64_t z = (reinterpret_cast<uintptr_t>(object) << 16) ^ (stamp << 40) ^ stamp ^ offset;
  z = (z ^ (z >> 33)) * 0xff51afd7ed558ccdu;
  z = (z ^ (z >> 33)) * 0xc4ceb9fe1a85ec53u;
  return z ^ (z >> 33);
}

// Calls visit(offset, length <= 8) for the words of an object of `end` bytes that carry the
// pattern.
template <typename Visit>
void ForEachWord(size_t end, Visit visit) {
  for (size_t offset = 0; offset < end;) {
    size_t left = end - offset;
    visit(offset, left < sizeof(uint64_t) ? left : sizeof(uint64_t));
    bool skips = end > kWholeLimit && offset >= kPage && left > 2 * kPage;
    offset += skips ? kPage : sizeof(uint64_t);
  }
}

// All bytes are the next one's equal, and the first is zero.
bool IsZero(const char* at, size_t bytes) {
  return bytes == 0 || (*at == 0 && memcmp(at, at + 1, bytes - 1) == 0);
}

}  // namespace

ShadowModel::ShadowModel(const char* name, uint64_t seed, size_t max_objects)
    : name_(name), seed_(seed), max_objects_(max_objects), source_(kMallocFamily) {
  Runtime::Get();
  // Of what was asked for, what the heap has come to: without canaries, if there was no memory.
  has_exact_sizes_ = secure_policy.has_canaries;
  is_cleared_ = secure_policy.clears;
}

void ShadowModel::Fail(const char* what, const Object& object, size_t at) const {
  fprintf(stderr, "%s, seed %llu: %s: object %p of %zu bytes, at %zu\n", name_,
          static_cast<unsigned long long>(seed_), what, static_cast<void*>(object.address),
          object.size, at);
  abort();
}

void ShadowModel::Write(Object& object) {
  object.stamp = ++stamp_ ^ seed_;
  ForEachWord(object.size, [&](size_t offset, size_t length) {
    uint64_t word = PatternWord(object.address, object.stamp, offset);
    memcpy(object.address + offset, &word, length);
  });
}

void ShadowModel::Check(const Object& object) const {
  ForEachWord(object.size, [&](size_t offset, size_t width) {
    uint64_t word = PatternWord(object.address, object.stamp, offset);
    // A comparison of constant length is one instruction; a fuzzer spends its time here.
    bool same = width == sizeof(word) ? memcmp(object.address + offset, &word, sizeof(word)) == 0
                                      : memcmp(object.address + offset, &word, width) == 0;
    if (!same) Fail("contents", object, offset);
  });
}

size_t ShadowModel::DrawSize(const Draw& draw) const {
  size_t size = DrawAnySize(draw);
  return size < largest_ ? size : largest_;
}

size_t ShadowModel::DrawAnySize(const Draw& draw) const {
  // Mostly the sizes that are meshed; each other kind now and then.
  switch (draw(64)) {
    case 0:
      return draw(4) == 0 ? size_t{1} + draw(4 << 20) : size_t{1} + draw(256 << 10);
    case 1:
    case 2:
      return 1 + draw(40000);
    case 3:
      return draw(2) == 0 ? 0 : 4096 * (1 + draw(10));
    default:
      return 1 + draw(16u << draw(9));
  }
}

bool ShadowModel::ShouldGrow(const Draw& draw) {
  if (phase_left_ == 0) {
    is_growing_ = !is_growing_;
    phase_left_ = 1 + draw(static_cast<uint32_t>(max_objects_));
  }
  phase_left_--;
  if (objects_.size() >= max_objects_) is_growing_ = false;
  if (objects_.empty()) is_growing_ = true;
  return is_growing_ ? draw(8) != 0 : draw(8) == 0;
}

// The heap gave no memory for `object`: true if it may, else the end.
bool ShadowModel::WasRefused(const char* what, const Object& object) {
  if (!may_be_refused_) Fail(what, object, 0);
  refused_++;
  return true;
}

// What a heap that is hardened, or may be, says and shows of an object that nobody has used yet.
void ShadowModel::CheckFresh(const Object& object) const {
  const size_t usable = UsableSize(object.address);
  if (usable < object.size) Fail("usable size", object, usable);
  if (!source_.may_be_hardened) return;
  // One of no size that has no address without memory is a byte.
  const bool is_exact = usable == object.size || (object.size == 0 && usable == 1);
  if (has_exact_sizes_ && !is_exact) Fail("exact size", object, usable);
  // Of large ones a page: it would be faulted in for nothing else.
  const size_t looked_at = object.size > kWholeLimit ? kPage : object.size;
  if (is_cleared_ && !IsZero(object.address, looked_at)) Fail("not cleared", object, 0);
}

void ShadowModel::Allocate(const Draw& draw) {
  Object object = {nullptr, DrawSize(draw), 0};
  uint32_t kind = draw(8);
  const bool zeroed = kind == 0;
  size_t alignment = 0;
  if (kind == 1) alignment = size_t{16} << draw(draw(4) == 0 ? 14 : 6);
  object.address =
      static_cast<char*>(source_.make(source_.context, object.size, alignment, zeroed));
  if (object.address == nullptr && WasRefused("out of memory", object)) return;
  const size_t least = alignment > 0 ? alignment : kEveryAlignment;
  if (reinterpret_cast<uintptr_t>(object.address) % least != 0) Fail("alignment", object, least);
  CheckFresh(object);
  if (zeroed && !IsZero(object.address, object.size)) Fail("calloc is not zero", object, 0);
  // All that may be used is used at times.
  if (draw(16) == 0) object.size = UsableSize(object.address);
  Write(object);
  objects_.push_back(object);
}

// False: there was no memory, and the object is as it was.
bool ShadowModel::Resize(Object& object, size_t size, const Source& source) {
  auto* moved = static_cast<char*>(source.resize(source.context, object.address, size));
  if (moved == nullptr && WasRefused("realloc gave nothing", object)) {
    Check(object);
    return false;
  }
  // The contents are those of the old address; they are rewritten for the new one.
  size_t common = object.size < size ? object.size : size;
  // Where words are skipped, an object's old words are at other places than a shorter one's.
  size_t checked = object.size > kWholeLimit && common > kPage ? kPage : common;
  Object old = object;
  object.address = moved;
  for (size_t offset = 0; offset < checked; offset += sizeof(uint64_t)) {
    uint64_t word = PatternWord(old.address, old.stamp, offset);
    size_t width = checked - offset < sizeof(word) ? checked - offset : sizeof(word);
    if (memcmp(moved + offset, &word, width) != 0) Fail("realloc lost contents", object, offset);
  }
  object.size = size;
  if (UsableSize(moved) < size) Fail("usable size after realloc", object, UsableSize(moved));
  Write(object);
  return true;
}

void ShadowModel::Reallocate(const Draw& draw) {
  Object& object = Any(draw);
  Check(object);
  size_t size = draw(2) == 0 ? DrawSize(draw) : object.size + draw(512);
  Resize(object, size > 0 ? size : 1, source_);
}

bool ShadowModel::Adopt(Object object, size_t size, const Source& source) {
  Check(object);
  if (!Resize(object, size, source)) return false;
  objects_.push_back(object);
  return true;
}

void ShadowModel::GiveAll(ShadowModel& to) {
  for (const Object& object : objects_) to.Put(object);
  objects_.clear();
}

ShadowModel::Object& ShadowModel::Any(const Draw& draw) {
  return objects_[draw(static_cast<uint32_t>(objects_.size()))];
}

bool ShadowModel::Take(const Draw& draw, Object* out) {
  if (objects_.empty()) return false;
  Object& object = Any(draw);
  *out = object;
  object = objects_.back();
  objects_.pop_back();
  return true;
}

void ShadowModel::Free(const Draw& draw) {
  Object object;
  if (!Take(draw, &object)) return;
  Check(object);
  mesh::Free(object.address);
}

void ShadowModel::Step(const Draw& draw) {
  steps_++;
  bool grows = ShouldGrow(draw);
  uint32_t kind = draw(16);
  if (objects_.empty() || kind > 4) return grows ? Allocate(draw) : Free(draw);
  if (kind == 0) return Reallocate(draw);
  Object& object = Any(draw);
  Check(object);
  if (kind < 3) Write(object);
}

void ShadowModel::CheckAll() const {
  for (const Object& object : objects_) Check(object);
}

void ShadowModel::RewriteAll() {
  for (Object& object : objects_) Write(object);
}

void ShadowModel::FreeAll() {
  for (const Object& object : objects_) {
    Check(object);
    mesh::Free(object.address);
  }
  objects_.clear();
}

}  // namespace mesh

// What the compiler has been told to watch.
//
// Room: base.
#pragma once

namespace mesh {

// Whether this is a build with ThreadSanitizer, by gcc or clang.
#if defined(__SANITIZE_THREAD__)
inline constexpr bool kThreadSanitizer = true;
#elif defined(__has_feature)
inline constexpr bool kThreadSanitizer = __has_feature(thread_sanitizer);
#else
inline constexpr bool kThreadSanitizer = false;
#endif

// The same of AddressSanitizer.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAddressSanitizer = true;
#elif defined(__has_feature)
inline constexpr bool kAddressSanitizer = __has_feature(address_sanitizer);
#else
inline constexpr bool kAddressSanitizer = false;
#endif

// Whether the child of a process with threads can go on: not with ThreadSanitizer, which does not
// follow it, nor with AddressSanitizer, whose allocator may be locked by a thread that it lacks.
inline constexpr bool kFollowsForks = !kThreadSanitizer && !kAddressSanitizer;

}  // namespace mesh

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

}  // namespace mesh

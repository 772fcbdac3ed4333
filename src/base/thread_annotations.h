// Names for clang's thread safety analysis (-Wthread-safety); nothing with other compilers.
//
// Room: base. See "Thread Safety Analysis" in clang's documentation.
#pragma once

#if defined(__clang__)
#define MESH_TSA(x) __attribute__((x))
#else
#define MESH_TSA(x)
#endif

#define CAPABILITY(x) MESH_TSA(capability(x))
#define SCOPED_CAPABILITY MESH_TSA(scoped_lockable)
#define GUARDED_BY(x) MESH_TSA(guarded_by(x))
#define REQUIRES(...) MESH_TSA(requires_capability(__VA_ARGS__))
#define ACQUIRE(...) MESH_TSA(acquire_capability(__VA_ARGS__))
#define RELEASE(...) MESH_TSA(release_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) MESH_TSA(try_acquire_capability(__VA_ARGS__))
#define EXCLUDES(...) MESH_TSA(locks_excluded(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS MESH_TSA(no_thread_safety_analysis)

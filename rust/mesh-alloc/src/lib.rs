//! A global allocator that compacts the heap without moving a pointer.
//!
//! ```
//! use mesh_alloc::Mesh;
//!
//! #[global_allocator]
//! static GLOBAL: Mesh = Mesh;
//!
//! fn main() {
//!     let kept: Vec<Box<[u8; 48]>> = (0..100_000)
//!         .map(|i| (i, Box::new([1; 48])))
//!         .filter_map(|(i, object)| (i % 10 == 0).then_some(object))
//!         .collect();
//!     // Mesh compacts by itself while a program runs; this asks for it now.
//!     mesh_alloc::collect(true);
//!     assert_eq!(kept.len(), 10_000);
//! }
//! ```
//!
//! Spans of objects of one size whose live objects do not overlap come to share physical memory,
//! so that a heap full of holes gives its pages back. No object changes its address.
//!
//! * [`Mesh`] is the allocator.
//! * [`Heap`] is a heap of its own, [`Arena`] one whose objects all go at once.
//! * [`hooks`] are what Mesh calls back.
//! * [`options`] are what the environment chose, [`stats`] what the heap looks like.
//!
//! # When the heap is meshed
//!
//! While objects are copied, stores to them have to wait. How Mesh makes them wait depends on the
//! machine, and on how the program is linked; [`barrier_tier`](stats::barrier_tier) tells what was
//! found:
//!
//! | the program | `userfault` | `userfault_user`, `segv` |
//! |---|---|---|
//! | has one thread | meshed, in any tier | meshed, in any tier |
//! | has threads | meshed | meshed with feature `interpose` (or `override`), else not |
//!
//! `userfault` needs a userfaultfd that also stops the kernel: root or `CAP_SYS_PTRACE`,
//! `vm.unprivileged_userfaultfd=1`, or access to `/dev/userfaultfd`. Without it, Mesh must know
//! which memory the program has lent to system calls, and for that its calls of libc have to pass
//! by: features `interpose` and `override` do that as `LD_PRELOAD=libmesh.so` does, in programs
//! that are linked with libc dynamically. Where nothing will do, Mesh is an ordinary allocator.
//!
//! # Features
//!
//! * `interpose`: as above. It also brings Mesh's own thread, which works while others sleep.
//! * `override`: `malloc`, `operator new` and their relatives of the whole program are Mesh's too,
//!   for its C and C++ libraries. Brings `interpose`.
//! * `secure`: hardened; see `MESH_SECURE` in `libmesh(7)`.
//! * `local-dynamic-tls`: for a library that is loaded by `dlopen`.
//! * `allocator-api2`: `&Heap` and `&Arena` are allocators of collections.
#![warn(missing_docs)]

mod arena;
#[cfg(feature = "allocator-api2")]
mod collections;
mod ctl;
mod heap;
pub mod hooks;
pub mod options;
pub mod stats;

use std::alloc::{GlobalAlloc, Layout};
use std::os::raw::c_void;

pub use arena::Arena;
pub use ctl::CtlError;
pub use heap::{Heap, HeapBox, OutOfMemory};
pub use mesh_sys as sys;

/// What every object is aligned to that is not smaller.
const SMALL_ALIGNMENT: usize = 16;

/// Whether an object of this layout is aligned as it has to be without being asked for.
pub(crate) fn is_aligned_anyway(size: usize, alignment: usize) -> bool {
    alignment <= SMALL_ALIGNMENT && alignment <= size
}

/// The allocator: `#[global_allocator] static GLOBAL: Mesh = Mesh;`.
///
/// Layouts of any alignment are served. Objects may be freed by any thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mesh;

// SAFETY: the functions of mesh/mesh.h hand out objects that are disjoint, as large as asked for
// and aligned to 16 bytes (or to their size, if that is smaller) or as asked for; they do not
// unwind.
unsafe impl GlobalAlloc for Mesh {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, alignment) = (layout.size(), layout.align());
        if is_aligned_anyway(size, alignment) {
            sys::mesh_malloc(size).cast()
        } else {
            sys::mesh_malloc_aligned(size, alignment).cast()
        }
    }

    #[inline]
    unsafe fn dealloc(&self, object: *mut u8, _layout: Layout) {
        sys::mesh_free(object.cast());
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, alignment) = (layout.size(), layout.align());
        if is_aligned_anyway(size, alignment) {
            sys::mesh_zalloc(size).cast()
        } else {
            sys::mesh_zalloc_aligned(size, alignment).cast()
        }
    }

    #[inline]
    unsafe fn realloc(&self, object: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let alignment = layout.align();
        if is_aligned_anyway(new_size, alignment) {
            sys::mesh_realloc(object.cast(), new_size).cast()
        } else {
            sys::mesh_realloc_aligned(object.cast(), new_size, alignment).cast()
        }
    }
}

/// Gives memory back to the system, and returns how many bytes.
///
/// Without `force`: pages that are free. With `force`: meshes all that can be meshed first, and
/// takes back what this thread holds ready; milliseconds for a heap of 100 MB.
pub fn collect(force: bool) -> usize {
    // SAFETY: may be called at any time.
    unsafe { sys::mesh_collect(force) }
}

/// Bytes that an allocation of `size` bytes gets, or more while such are being compacted: never less
/// than `size`; none if it cannot be.
///
/// ```
/// assert!(mesh_alloc::good_size(100).unwrap() >= 100);
/// assert_eq!(mesh_alloc::good_size(usize::MAX), None);
/// ```
pub fn good_size(size: usize) -> Option<usize> {
    // SAFETY: any size will do.
    match unsafe { sys::mesh_good_size(size) } {
        0 => None,
        good => Some(good),
    }
}

/// Whether the memory behind a reference or pointer is Mesh's. Any address.
pub fn is_in_heap<T: ?Sized>(object: *const T) -> bool {
    // SAFETY: the address is not followed.
    unsafe { sys::mesh_is_in_heap(object.cast::<c_void>()) }
}

/// "major.minor.patch" of the library.
pub fn version() -> &'static str {
    // SAFETY: a text that never changes.
    let text = unsafe { std::ffi::CStr::from_ptr(sys::mesh_version()) };
    text.to_str().unwrap_or("")
}

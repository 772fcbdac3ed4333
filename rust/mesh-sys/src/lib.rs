//! Bindings to the C API of Mesh, `mesh/mesh.h`.
//!
//! The names, types and rules are those of the header, which is part of this crate
//! (`mesh/src/libmesh/mesh/mesh.h`) and documents each function: units, errors, threads. A test
//! compares the two. `mesh-alloc` is what most programs want: a
//! global allocator, and safe heaps.
//!
//! Unless a function says otherwise, any thread may call it at any time, but not a signal handler;
//! sizes are in bytes; a function that allocates returns null for an error.
#![allow(non_camel_case_types)]
#![warn(missing_docs)]

use std::marker::{PhantomData, PhantomPinned};
use std::os::raw::{c_char, c_int, c_void};

/// A heap of its own. Only behind pointers.
#[repr(C)]
pub struct mesh_heap_t {
    _opaque: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

/// What [`mesh_process_info`] fills in.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct mesh_process_info_t {
    /// Of objects in use, as large as they are to Mesh.
    pub live_bytes: usize,
    /// Physical memory of the process, meshed pages counted once.
    pub physical_bytes: usize,
    /// Most resident memory so far, meshed pages counted at each address.
    pub peak_resident_bytes: usize,
    /// Page faults without input or output, of all threads so far.
    pub minor_faults: u64,
    /// Page faults with it.
    pub major_faults: u64,
    /// Processor time in the program, of all threads so far.
    pub user_ns: u64,
    /// Processor time in the kernel.
    pub system_ns: u64,
    /// Since Mesh came up in this process.
    pub elapsed_ns: u64,
}

/// Called for an object of a heap; returns whether to go on.
pub type mesh_visit_block_fun = unsafe extern "C" fn(
    heap: *mut mesh_heap_t,
    object: *mut c_void,
    usable_size: usize,
    argument: *mut c_void,
) -> bool;

/// Called now and then before an allocation that has to look for memory.
pub type mesh_deferred_free_fun =
    unsafe extern "C" fn(force: bool, heartbeat: u64, argument: *mut c_void);

/// Called with what Mesh would write to standard error.
pub type mesh_output_fun = unsafe extern "C" fn(text: *const c_char, argument: *mut c_void);

/// Called with the `errno` value of an error.
pub type mesh_error_fun = unsafe extern "C" fn(error: c_int, argument: *mut c_void);

/// Called when there is no memory for `size` bytes; returns whether to try again.
pub type mesh_out_of_memory_fun = unsafe extern "C" fn(size: usize, argument: *mut c_void) -> bool;

// Objects.
extern "C" {
    /// At least `size` bytes of anything.
    pub fn mesh_malloc(size: usize) -> *mut c_void;
    /// As [`mesh_malloc`], all bytes zero.
    pub fn mesh_zalloc(size: usize) -> *mut c_void;
    /// As [`mesh_zalloc`], of `count` times `size` bytes.
    pub fn mesh_calloc(count: usize, size: usize) -> *mut c_void;
    /// Makes an object `size` bytes long, here or elsewhere; 0 frees it.
    pub fn mesh_realloc(object: *mut c_void, size: usize) -> *mut c_void;
    /// As [`mesh_realloc`], of `count` times `size` bytes.
    pub fn mesh_reallocarray(object: *mut c_void, count: usize, size: usize) -> *mut c_void;
    /// As [`mesh_realloc`], but on an error the object is freed.
    pub fn mesh_reallocf(object: *mut c_void, size: usize) -> *mut c_void;
    /// As [`mesh_reallocarray`], and what comes behind the old bytes is zero.
    pub fn mesh_recallocarray(
        object: *mut c_void,
        old_count: usize,
        count: usize,
        size: usize,
    ) -> *mut c_void;
    /// Makes an object `size` bytes long at its place, or returns null.
    pub fn mesh_expand(object: *mut c_void, size: usize) -> *mut c_void;
    /// Frees an object; null is let pass.
    pub fn mesh_free(object: *mut c_void);
    /// A copy of a text.
    pub fn mesh_strdup(text: *const c_char) -> *mut c_char;
    /// A copy of at most `most` bytes of a text, with a zero behind them.
    pub fn mesh_strndup(text: *const c_char, most: usize) -> *mut c_char;
}

// Aligned objects.
extern "C" {
    /// As [`mesh_malloc`], at a multiple of `alignment`, a power of two.
    pub fn mesh_malloc_aligned(size: usize, alignment: usize) -> *mut c_void;
    /// As [`mesh_zalloc`], at a multiple of `alignment`, a power of two.
    pub fn mesh_zalloc_aligned(size: usize, alignment: usize) -> *mut c_void;
    /// As [`mesh_realloc`], at a multiple of `alignment`, a power of two.
    pub fn mesh_realloc_aligned(object: *mut c_void, size: usize, alignment: usize) -> *mut c_void;
    /// As [`mesh_malloc_aligned`], but the byte at `offset` is aligned.
    pub fn mesh_malloc_aligned_at(size: usize, alignment: usize, offset: usize) -> *mut c_void;
    /// As [`mesh_zalloc_aligned`], but the byte at `offset` is aligned.
    pub fn mesh_zalloc_aligned_at(size: usize, alignment: usize, offset: usize) -> *mut c_void;
    /// As [`mesh_realloc_aligned`], but the byte at `offset` is aligned.
    pub fn mesh_realloc_aligned_at(
        object: *mut c_void,
        size: usize,
        alignment: usize,
        offset: usize,
    ) -> *mut c_void;
}

// Sizes and places.
extern "C" {
    /// Bytes that may be used at an object; 0 for null and for what is not Mesh's.
    pub fn mesh_usable_size(object: *const c_void) -> usize;
    /// Bytes that [`mesh_malloc`] would give; 0 if there is no such object.
    pub fn mesh_good_size(size: usize) -> usize;
    /// Whether an address lies in Mesh's memory.
    pub fn mesh_is_in_heap(address: *const c_void) -> bool;
}

// First-class heaps.
extern "C" {
    /// A heap without objects.
    pub fn mesh_heap_new() -> *mut mesh_heap_t;
    /// Ends a heap; its objects live on in the main heap.
    pub fn mesh_heap_delete(heap: *mut mesh_heap_t);
    /// Ends a heap and all its objects, which nobody may use any more.
    pub fn mesh_heap_destroy(heap: *mut mesh_heap_t);
    /// As [`mesh_malloc`], from a heap; null: the main heap.
    pub fn mesh_heap_malloc(heap: *mut mesh_heap_t, size: usize) -> *mut c_void;
    /// As [`mesh_zalloc`], from a heap; null: the main heap.
    pub fn mesh_heap_zalloc(heap: *mut mesh_heap_t, size: usize) -> *mut c_void;
    /// As [`mesh_calloc`], from a heap; null: the main heap.
    pub fn mesh_heap_calloc(heap: *mut mesh_heap_t, count: usize, size: usize) -> *mut c_void;
    /// As [`mesh_malloc_aligned`], from a heap; null: the main heap.
    pub fn mesh_heap_malloc_aligned(
        heap: *mut mesh_heap_t,
        size: usize,
        alignment: usize,
    ) -> *mut c_void;
    /// As [`mesh_zalloc_aligned`], from a heap; null: the main heap.
    pub fn mesh_heap_zalloc_aligned(
        heap: *mut mesh_heap_t,
        size: usize,
        alignment: usize,
    ) -> *mut c_void;
    /// As [`mesh_realloc`], and the result lies in `heap`; null: the main heap.
    pub fn mesh_heap_realloc(
        heap: *mut mesh_heap_t,
        object: *mut c_void,
        size: usize,
    ) -> *mut c_void;
    /// As [`mesh_realloc_aligned`], and the result lies in `heap`; null: the main heap.
    pub fn mesh_heap_realloc_aligned(
        heap: *mut mesh_heap_t,
        object: *mut c_void,
        size: usize,
        alignment: usize,
    ) -> *mut c_void;
    /// Meshes inside the heap alone, if `force`, and gives back what it does not need.
    pub fn mesh_heap_collect(heap: *mut mesh_heap_t, force: bool) -> usize;
    /// Whether an object lies in the heap. Any address.
    pub fn mesh_heap_contains(heap: *const mesh_heap_t, object: *const c_void) -> bool;
    /// What allocates without naming a heap takes memory of this thread from `heap`.
    pub fn mesh_heap_set_default(heap: *mut mesh_heap_t) -> *mut mesh_heap_t;
    /// The heap that was set for this thread; null: the main heap.
    pub fn mesh_heap_get_default() -> *mut mesh_heap_t;
    /// Calls `visitor` for each object of the heap once.
    pub fn mesh_heap_visit_blocks(
        heap: *mut mesh_heap_t,
        visitor: Option<mesh_visit_block_fun>,
        argument: *mut c_void,
    ) -> c_int;
}

// Hooks.
extern "C" {
    /// Sets the hook for frees that wait; none takes it away.
    pub fn mesh_register_deferred_free(
        function: Option<mesh_deferred_free_fun>,
        argument: *mut c_void,
    );
    /// Sets the hook for output; none takes it away.
    pub fn mesh_register_output(function: Option<mesh_output_fun>, argument: *mut c_void);
    /// Sets the hook for errors; none takes it away.
    pub fn mesh_register_error(function: Option<mesh_error_fun>, argument: *mut c_void);
    /// Sets the hook for when there is no memory; none takes it away.
    pub fn mesh_register_out_of_memory(
        function: Option<mesh_out_of_memory_fun>,
        argument: *mut c_void,
    );
}

// Memory and figures.
extern "C" {
    /// Gives free pages back, and meshes first if `force`. Returns bytes.
    pub fn mesh_collect(force: bool) -> usize;
    /// Writes figures of the process; `size` is that of the structure.
    pub fn mesh_process_info(info: *mut mesh_process_info_t, size: usize) -> c_int;
    /// Reads a value, writes one, or runs a command, as `mallctl` of jemalloc does.
    pub fn mesh_mallctl(
        name: *const c_char,
        oldp: *mut c_void,
        oldlenp: *mut usize,
        newp: *mut c_void,
        newlen: usize,
    ) -> c_int;
    /// "major.minor.patch" of the library that runs.
    pub fn mesh_version() -> *const c_char;
}

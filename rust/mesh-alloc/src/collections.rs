//! `&Heap` and `&Arena` as allocators of allocator-api2.

use crate::heap::{dangling, Heap};
use crate::Arena;
use allocator_api2::alloc::{AllocError, Allocator};
use std::alloc::Layout;
use std::ptr::{self, NonNull};

/// The bytes of an object. Null never comes here.
fn bytes(object: NonNull<u8>, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    NonNull::new(ptr::slice_from_raw_parts_mut(object.as_ptr(), layout.size())).ok_or(AllocError)
}

fn allocate(heap: &Heap, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    bytes(heap.place(layout).map_err(|_| AllocError)?, layout)
}

fn allocate_zeroed(heap: &Heap, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    if layout.size() == 0 {
        return bytes(dangling(layout), layout);
    }
    bytes(heap.allocate_zeroed(layout).map_err(|_| AllocError)?, layout)
}

/// Args: object: of `old`'s layout.
unsafe fn resize(
    heap: &Heap,
    object: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Result<NonNull<[u8]>, AllocError> {
    if old.size() == 0 {
        return allocate(heap, new);
    }
    if new.size() == 0 {
        deallocate(heap, object, old);
        return bytes(dangling(new), new);
    }
    bytes(heap.reallocate(object, new).map_err(|_| AllocError)?, new)
}

unsafe fn deallocate(heap: &Heap, object: NonNull<u8>, layout: Layout) {
    if layout.size() != 0 {
        heap.deallocate(object);
    }
}

fn itself(heap: &Heap) -> &Heap {
    heap
}

/// The trait for a reference, given the heap behind it.
macro_rules! allocator {
    ($name:ident, $heap:expr) => {
        // SAFETY: objects stay where they are until they are freed or resized, or the borrow ends;
        // copies of a reference are the same heap.
        unsafe impl Allocator for &$name {
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                allocate($heap(self), layout)
            }

            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                allocate_zeroed($heap(self), layout)
            }

            unsafe fn deallocate(&self, object: NonNull<u8>, layout: Layout) {
                deallocate($heap(self), object, layout)
            }

            unsafe fn grow(
                &self,
                object: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                resize($heap(self), object, old, new)
            }

            unsafe fn shrink(
                &self,
                object: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                resize($heap(self), object, old, new)
            }
        }
    };
}

allocator!(Heap, itself);
allocator!(Arena, Arena::heap);

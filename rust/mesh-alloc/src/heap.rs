//! Heaps of one's own.

use crate::{is_aligned_anyway, sys};
use std::alloc::Layout;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{ControlFlow, Deref, DerefMut};
use std::os::raw::c_void;
use std::panic::{self, AssertUnwindSafe};
use std::ptr::{self, NonNull};

/// There is no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of memory")
    }
}

impl std::error::Error for OutOfMemory {}

/// A heap of its own: its objects share no page with those of another.
///
/// What belongs together lies together, and is meshed apart from all else; a program can see what
/// a part of it holds. Any thread may use it. When it is dropped, its objects live on in the main
/// heap, at the same addresses: nothing can be left dangling. For objects that all go at once,
/// see [`Arena`](crate::Arena).
///
/// ```
/// use mesh_alloc::Heap;
///
/// let heap = Heap::new()?;
/// let numbers = heap.boxed([1u64, 2, 3])?;
/// assert!(heap.contains(&*numbers));
/// drop(heap);
/// assert_eq!(numbers[2], 3);
/// # Ok::<(), mesh_alloc::OutOfMemory>(())
/// ```
///
/// With feature `allocator-api2`, `&Heap` is an allocator of that crate's collections.
pub struct Heap {
    raw: NonNull<sys::mesh_heap_t>,
}

// SAFETY: any thread may call any function for a heap; the last owner ends it.
unsafe impl Send for Heap {}
// SAFETY: as above.
unsafe impl Sync for Heap {}

impl Heap {
    /// A heap without objects.
    pub fn new() -> Result<Heap, OutOfMemory> {
        // SAFETY: may be called at any time.
        match NonNull::new(unsafe { sys::mesh_heap_new() }) {
            Some(raw) => Ok(Heap { raw }),
            None => Err(OutOfMemory),
        }
    }

    /// Moves a value into the heap.
    pub fn boxed<T>(&self, value: T) -> Result<HeapBox<T>, OutOfMemory> {
        let object = self.place(Layout::new::<T>())?.cast::<T>();
        // SAFETY: `object` is aligned, large enough, and nobody else's.
        unsafe { object.as_ptr().write(value) };
        Ok(HeapBox { object, _owns: PhantomData })
    }

    /// An object of at least the layout's size, whose bytes are anything.
    ///
    /// [`deallocate`](Self::deallocate) frees it, and so does [`Mesh`](crate::Mesh).
    pub fn allocate(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        let (size, alignment) = (layout.size(), layout.align());
        // SAFETY: the heap is there.
        let object = unsafe {
            if is_aligned_anyway(size, alignment) {
                sys::mesh_heap_malloc(self.raw.as_ptr(), size)
            } else {
                sys::mesh_heap_malloc_aligned(self.raw.as_ptr(), size, alignment)
            }
        };
        NonNull::new(object.cast()).ok_or(OutOfMemory)
    }

    /// As [`allocate`](Self::allocate), and all bytes are zero.
    pub fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        let (size, alignment) = (layout.size(), layout.align());
        // SAFETY: the heap is there.
        let object = unsafe {
            if is_aligned_anyway(size, alignment) {
                sys::mesh_heap_zalloc(self.raw.as_ptr(), size)
            } else {
                sys::mesh_heap_zalloc_aligned(self.raw.as_ptr(), size, alignment)
            }
        };
        NonNull::new(object.cast()).ok_or(OutOfMemory)
    }

    /// Makes an object as long as `layout` says, at its place or at another of this heap, with what
    /// it held up to the smaller of both sizes. After an error it is as it was.
    ///
    /// # Safety
    /// `object` is of Mesh (of any heap), and in use. After success the old pointer is not.
    pub unsafe fn reallocate(
        &self,
        object: NonNull<u8>,
        layout: Layout,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        let (heap, old) = (self.raw.as_ptr(), object.as_ptr().cast::<c_void>());
        // Size 0 would free the object.
        let (size, alignment) = (layout.size().max(1), layout.align());
        let moved = if is_aligned_anyway(size, alignment) {
            sys::mesh_heap_realloc(heap, old, size)
        } else {
            sys::mesh_heap_realloc_aligned(heap, old, size, alignment)
        };
        NonNull::new(moved.cast()).ok_or(OutOfMemory)
    }

    /// Frees an object.
    ///
    /// # Safety
    /// `object` is of Mesh (of any heap), and in use.
    pub unsafe fn deallocate(&self, object: NonNull<u8>) {
        sys::mesh_free(object.as_ptr().cast());
    }

    /// Runs `function` with this heap in the place of the main one: what the calling thread
    /// allocates by [`Mesh`](crate::Mesh) meanwhile (and by `malloc`, with feature `override`)
    /// comes from here. Scopes nest.
    ///
    /// ```
    /// use mesh_alloc::{Heap, Mesh};
    ///
    /// #[global_allocator]
    /// static GLOBAL: Mesh = Mesh;
    ///
    /// fn main() {
    ///     let heap = Heap::new().unwrap();
    ///     let text = heap.scope(|| "seven".repeat(7));
    ///     assert!(heap.contains(text.as_ptr()));
    /// }
    /// ```
    pub fn scope<R>(&self, function: impl FnOnce() -> R) -> R {
        // SAFETY: the heap is there, and the one that was set before is borrowed by the scope
        // around this one.
        let before = unsafe { sys::mesh_heap_set_default(self.raw.as_ptr()) };
        let result = panic::catch_unwind(AssertUnwindSafe(function));
        // SAFETY: as above.
        unsafe { sys::mesh_heap_set_default(before) };
        result.unwrap_or_else(|payload| panic::resume_unwind(payload))
    }

    /// Meshes inside this heap alone, if `force`, and gives the system back what the heap no longer
    /// needs. Returns bytes.
    pub fn collect(&self, force: bool) -> usize {
        // SAFETY: the heap is there.
        unsafe { sys::mesh_heap_collect(self.raw.as_ptr(), force) }
    }

    /// Whether an object lies in this heap. Any address; that of an object which was freed may give
    /// true.
    pub fn contains<T: ?Sized>(&self, object: *const T) -> bool {
        // SAFETY: the heap is there; the address is not followed.
        unsafe { sys::mesh_heap_contains(self.raw.as_ptr(), object.cast()) }
    }

    /// Calls `visitor` with the address and the usable size of each object once, in no order, until
    /// it breaks. Exact while nobody else allocates from this heap or frees its objects; those that
    /// come or go meanwhile may be visited or not. The error is that there is no memory for the
    /// list of the heap's spans.
    pub fn visit<B>(
        &self,
        visitor: impl FnMut(NonNull<u8>, usize) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, OutOfMemory> {
        let mut visit = Visit { visitor, broke: None, panicked: None };
        let argument = (&mut visit as *mut Visit<_, B>).cast();
        // SAFETY: the heap is there; `visit` is what the function gets back.
        let error = unsafe {
            sys::mesh_heap_visit_blocks(self.raw.as_ptr(), Some(visitor_of(&visit)), argument)
        };
        if let Some(payload) = visit.panicked {
            panic::resume_unwind(payload);
        }
        match (error, visit.broke) {
            (_, Some(value)) => Ok(ControlFlow::Break(value)),
            (0, None) => Ok(ControlFlow::Continue(())),
            (_, None) => Err(OutOfMemory),
        }
    }

    /// Ends the heap with all its objects, and does not touch them: a million go in the time of
    /// some thousand spans. Nothing is dropped.
    ///
    /// # Safety
    /// Nobody uses an object of the heap any more, or ever will: no [`HeapBox`], nothing that was
    /// allocated in a [`scope`](Self::scope). [`Arena`](crate::Arena) has the compiler see to it.
    pub unsafe fn destroy(self) {
        sys::mesh_heap_destroy(self.raw.as_ptr());
        std::mem::forget(self);
    }

    /// The heap as C knows it; it stays this one's.
    pub fn as_raw(&self) -> *mut sys::mesh_heap_t {
        self.raw.as_ptr()
    }

    /// Room for a value, also for one without size.
    pub(crate) fn place(&self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        if layout.size() == 0 {
            return Ok(dangling(layout));
        }
        self.allocate(layout)
    }
}

/// The address of nothing, aligned.
pub(crate) fn dangling(layout: Layout) -> NonNull<u8> {
    // An alignment is not 0.
    NonNull::new(layout.align() as *mut u8).unwrap_or_else(NonNull::dangling)
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: nobody else ends it.
        unsafe { sys::mesh_heap_delete(self.raw.as_ptr()) }
    }
}

impl fmt::Debug for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Heap").field(&self.raw).finish()
    }
}

/// A visitor, and how it ended.
struct Visit<F, B> {
    visitor: F,
    broke: Option<B>,
    panicked: Option<Box<dyn std::any::Any + Send>>,
}

/// The C function for a visitor, whose type it has from `_visit`.
fn visitor_of<F, B>(_visit: &Visit<F, B>) -> sys::mesh_visit_block_fun
where
    F: FnMut(NonNull<u8>, usize) -> ControlFlow<B>,
{
    call_visitor::<F, B>
}

unsafe extern "C" fn call_visitor<F, B>(
    _heap: *mut sys::mesh_heap_t,
    object: *mut c_void,
    usable_size: usize,
    argument: *mut c_void,
) -> bool
where
    F: FnMut(NonNull<u8>, usize) -> ControlFlow<B>,
{
    // SAFETY: visit() passes its own, and nobody else uses it meanwhile.
    let visit = &mut *argument.cast::<Visit<F, B>>();
    let object = match NonNull::new(object.cast()) {
        Some(object) => object,
        None => return true,
    };
    // A panic may not pass through C.
    match panic::catch_unwind(AssertUnwindSafe(|| (visit.visitor)(object, usable_size))) {
        Ok(ControlFlow::Continue(())) => true,
        Ok(ControlFlow::Break(value)) => {
            visit.broke = Some(value);
            false
        }
        Err(payload) => {
            visit.panicked = Some(payload);
            false
        }
    }
}

/// A value in a [`Heap`]: what `Box` is in the main one. It outlives its heap.
pub struct HeapBox<T> {
    object: NonNull<T>,
    _owns: PhantomData<T>,
}

// SAFETY: owns its value, as a Box does.
unsafe impl<T: Send> Send for HeapBox<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for HeapBox<T> {}

impl<T> HeapBox<T> {
    /// Takes the value out of the heap.
    pub fn into_inner(self) -> T {
        // SAFETY: the value is there, and forget() keeps it from being dropped twice.
        let value = unsafe { ptr::read(self.object.as_ptr()) };
        self.free();
        std::mem::forget(self);
        value
    }

    fn free(&self) {
        if std::mem::size_of::<T>() != 0 {
            // SAFETY: boxed() allocated it, and who calls us does so once.
            unsafe { sys::mesh_free(self.object.as_ptr().cast()) }
        }
    }
}

impl<T> Deref for HeapBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the value is there as long as we are.
        unsafe { self.object.as_ref() }
    }
}

impl<T> DerefMut for HeapBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and ours alone.
        unsafe { self.object.as_mut() }
    }
}

impl<T> Drop for HeapBox<T> {
    fn drop(&mut self) {
        // SAFETY: the value is there, and nobody uses it after this.
        unsafe { ptr::drop_in_place(self.object.as_ptr()) };
        self.free();
    }
}

impl<T: fmt::Debug> fmt::Debug for HeapBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

//! Objects that all go at once.

use crate::heap::{Heap, OutOfMemory};
use std::alloc::Layout;
use std::fmt;

/// A heap whose objects live as long as it does: when it is dropped they go at once, untouched.
///
/// Dropping a million of them takes the time of some thousand spans. Destructors do not run, as
/// with `mem::forget`. Any thread may allocate; while it does, the arena is meshed like any heap.
///
/// ```
/// use mesh_alloc::Arena;
///
/// struct Node<'a> {
///     value: u32,
///     next: Option<&'a Node<'a>>,
/// }
///
/// let arena = Arena::new()?;
/// let mut list: Option<&Node<'_>> = None;
/// for value in 0..1000 {
///     list = Some(arena.alloc(Node { value, next: list })?);
/// }
/// assert_eq!(list.unwrap().value, 999);
/// assert_eq!(arena.alloc_str("text")?, "text");
/// # Ok::<(), mesh_alloc::OutOfMemory>(())
/// ```
pub struct Arena {
    // Kept to itself: an object that could outlive us must not come to be in it.
    heap: Option<Heap>,
}

impl Arena {
    /// An arena without objects.
    pub fn new() -> Result<Arena, OutOfMemory> {
        Ok(Arena { heap: Some(Heap::new()?) })
    }

    /// Moves a value into the arena.
    #[allow(clippy::mut_from_ref)] // each is another object
    pub fn alloc<T>(&self, value: T) -> Result<&mut T, OutOfMemory> {
        let object = self.heap().place(Layout::new::<T>())?.cast::<T>();
        // SAFETY: aligned, large enough, nobody else's, and there as long as we are.
        unsafe {
            object.as_ptr().write(value);
            Ok(&mut *object.as_ptr())
        }
    }

    /// Copies a slice into the arena.
    #[allow(clippy::mut_from_ref)]
    pub fn alloc_slice<T: Copy>(&self, values: &[T]) -> Result<&mut [T], OutOfMemory> {
        let object = self.heap().place(Layout::for_value(values))?.cast::<T>();
        // SAFETY: as in alloc(); the room is as long as `values`.
        unsafe {
            object.as_ptr().copy_from_nonoverlapping(values.as_ptr(), values.len());
            Ok(std::slice::from_raw_parts_mut(object.as_ptr(), values.len()))
        }
    }

    /// Copies a text into the arena.
    #[allow(clippy::mut_from_ref)]
    pub fn alloc_str(&self, text: &str) -> Result<&mut str, OutOfMemory> {
        let bytes = self.alloc_slice(text.as_bytes())?;
        // SAFETY: the bytes are those of a text.
        Ok(unsafe { std::str::from_utf8_unchecked_mut(bytes) })
    }

    /// Meshes inside this arena alone, if `force`, and gives the system back what it does not need.
    /// Returns bytes.
    pub fn collect(&self, force: bool) -> usize {
        self.heap().collect(force)
    }

    /// Whether an object lies in this arena. Any address.
    pub fn contains<T: ?Sized>(&self, object: *const T) -> bool {
        self.heap().contains(object)
    }

    pub(crate) fn heap(&self) -> &Heap {
        self.heap.as_ref().expect("there until we are dropped")
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if let Some(heap) = self.heap.take() {
            // SAFETY: all references to objects borrow the arena, which is not borrowed now.
            unsafe { heap.destroy() }
        }
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Arena").field(&self.heap).finish()
    }
}

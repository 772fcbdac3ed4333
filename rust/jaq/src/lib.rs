//! Mesh under the name by which jaq knows its allocator.

pub use mesh_alloc::Mesh as MiMalloc;

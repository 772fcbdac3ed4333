//! The contract of a global allocator, and a program's collections on it.

use mesh_alloc::{good_size, is_in_heap, options, Mesh};
use std::alloc::{GlobalAlloc, Layout};
use std::collections::{BTreeMap, HashMap};

#[global_allocator]
static GLOBAL: Mesh = Mesh;

/// Sizes around the borders of size classes, of pages and of large objects, with each alignment.
fn layouts() -> impl Iterator<Item = Layout> {
    let sizes = [1, 4, 8, 15, 16, 17, 100, 129, 500, 4096, 4097, 30_000, 40_000, 1 << 20];
    let alignments = (0..17).map(|power| 1usize << power);
    alignments.flat_map(move |alignment| {
        sizes.into_iter().map(move |size| Layout::from_size_align(size, alignment).unwrap())
    })
}

/// The bytes of an object that is `size` long.
///
/// # Safety
/// It is in use, and nobody else uses it.
unsafe fn bytes<'a>(object: *mut u8, size: usize) -> &'a mut [u8] {
    std::slice::from_raw_parts_mut(object, size)
}

#[test]
fn objects_are_aligned_and_disjoint() {
    let objects: Vec<(*mut u8, Layout)> =
        layouts().map(|layout| (unsafe { Mesh.alloc(layout) }, layout)).collect();
    for (i, (object, layout)) in objects.iter().enumerate() {
        assert!(!object.is_null() && *object as usize % layout.align() == 0, "{layout:?}");
        unsafe { bytes(*object, layout.size()) }.fill(i as u8);
    }
    for (i, (object, layout)) in objects.into_iter().enumerate() {
        unsafe {
            assert!(bytes(object, layout.size()).iter().all(|byte| *byte == i as u8));
            Mesh.dealloc(object, layout);
        }
    }
}

#[test]
fn zeroed_objects_are_zero_where_others_were() {
    for layout in layouts().chain(layouts()) {
        unsafe {
            let object = Mesh.alloc_zeroed(layout);
            assert_eq!(object as usize % layout.align(), 0, "{layout:?}");
            assert!(bytes(object, layout.size()).iter().all(|byte| *byte == 0), "{layout:?}");
            bytes(object, layout.size()).fill(0xff);
            Mesh.dealloc(object, layout);
        }
    }
}

#[test]
fn resized_objects_keep_content_and_alignment() {
    for layout in layouts() {
        for new_size in [1, 8, 24, 129, 4096, 33_000, 200_000] {
            unsafe {
                let object = Mesh.alloc(layout);
                bytes(object, layout.size()).fill(0x5a);
                let object = Mesh.realloc(object, layout, new_size);
                assert_eq!(object as usize % layout.align(), 0, "{layout:?} to {new_size}");
                let kept = layout.size().min(new_size);
                assert!(bytes(object, kept).iter().all(|byte| *byte == 0x5a));
                bytes(object, new_size).fill(0);
                Mesh.dealloc(object, Layout::from_size_align(new_size, layout.align()).unwrap());
            }
        }
    }
}

#[test]
fn what_cannot_be_had_is_null() {
    let layout = Layout::from_size_align(isize::MAX as usize - 4096, 4096).unwrap();
    unsafe {
        assert!(Mesh.alloc(layout).is_null());
        assert!(Mesh.alloc_zeroed(layout).is_null());
        let small = Layout::new::<u64>();
        let object = Mesh.alloc(small);
        assert!(Mesh.realloc(object, small, layout.size()).is_null());
        Mesh.dealloc(object, small);
    }
    assert_eq!(good_size(usize::MAX), None);
    assert!(Vec::<u8>::new().try_reserve(isize::MAX as usize).is_err());
}

#[test]
fn collections_are_on_mesh_and_cross_threads() {
    let boxed = Box::new(7u32);
    assert!(is_in_heap(&*boxed));
    let on_stack = 7u32;
    assert!(!is_in_heap(&on_stack));
    let (sender, receiver) = std::sync::mpsc::channel::<HashMap<String, Vec<u64>>>();
    let threads: Vec<_> = (0..4u64)
        .map(|thread| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for round in 0..50 {
                    let values = |i: u64| (0..i % 40).map(|x| x * thread + round).collect();
                    let map = (0..200).map(|i| (format!("{thread} {i}"), values(i))).collect();
                    sender.send(map).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let mut total = BTreeMap::new();
    for map in receiver {
        for (name, values) in map {
            *total.entry(name).or_insert(0) += values.len();
        }
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(total.len(), 800);
    assert_eq!(total["3 39"], 50 * 39);
}

#[test]
fn period_can_be_changed() {
    let before = options::period_ms();
    options::set_period_ms(77).unwrap();
    assert_eq!(options::period_ms(), 77);
    assert_eq!(options::set_period_ms(u64::MAX).unwrap_err().errno(), 22);
    assert_eq!(options::period_ms(), 77);
    options::set_period_ms(before).unwrap();
}

//! Heaps of one's own, and arenas.

use mesh_alloc::{Arena, Heap, HeapBox, Mesh};
use std::alloc::Layout;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::ptr::NonNull;

#[global_allocator]
static GLOBAL: Mesh = Mesh;

/// All objects of a heap.
fn objects(heap: &Heap) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut count = 0;
    let ended: ControlFlow<()> = heap
        .visit(|object, usable_size| {
            assert!(usable_size > 0);
            found.insert(object.as_ptr() as usize);
            count += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(ended.is_continue());
    assert_eq!(found.len(), count);
    found
}

fn address<T>(object: &HeapBox<T>) -> usize {
    &**object as *const T as usize
}

#[test]
fn boxes_are_in_their_heap_and_outlive_it() {
    let heap = Heap::new().unwrap();
    let other = Heap::new().unwrap();
    let mut boxes: Vec<_> = (0..1000u64).map(|i| heap.boxed([i; 5]).unwrap()).collect();
    assert!(boxes.iter().all(|object| heap.contains(&**object) && !other.contains(&**object)));
    assert_eq!(objects(&heap), boxes.iter().map(address).collect());
    boxes.truncate(500);
    assert_eq!(objects(&heap).len(), 500);
    assert!(objects(&other).is_empty());
    drop(heap);
    assert!(boxes.iter().enumerate().all(|(i, object)| object[4] == i as u64));
    assert_eq!(boxes.pop().unwrap().into_inner(), [499; 5]);
}

/// Counts how often it was dropped.
struct Counted<'a>(&'a Cell<u32>);
impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn boxes_drop_what_they_hold_once() {
    let drops = Cell::new(0);
    let heap = Heap::new().unwrap();
    drop(heap.boxed(Counted(&drops)).unwrap());
    assert_eq!(drops.get(), 1);
    let inner = heap.boxed(Counted(&drops)).unwrap().into_inner();
    assert_eq!(drops.get(), 1);
    drop(inner);
    assert_eq!(drops.get(), 2);
    assert!(objects(&heap).is_empty());
    let nothing = heap.boxed(()).unwrap();
    nothing.into_inner();
}

#[test]
fn objects_of_every_layout() {
    let heap = Heap::new().unwrap();
    for alignment in (0..14).map(|power| 1usize << power) {
        for size in [0, 1, 16, 100, 5000, 70_000] {
            let layout = Layout::from_size_align(size, alignment).unwrap();
            let object = heap.allocate_zeroed(layout).unwrap();
            assert_eq!(object.as_ptr() as usize % alignment, 0, "{layout:?}");
            assert!(heap.contains(object.as_ptr()), "{layout:?}");
            unsafe {
                assert!(std::slice::from_raw_parts(object.as_ptr(), size).iter().all(|x| *x == 0));
                object.as_ptr().write_bytes(7, size);
                let longer = Layout::from_size_align(size + 3000, alignment).unwrap();
                let object = heap.reallocate(object, longer).unwrap();
                assert_eq!(object.as_ptr() as usize % alignment, 0, "{layout:?}");
                assert!(heap.contains(object.as_ptr()), "{layout:?}");
                assert!(std::slice::from_raw_parts(object.as_ptr(), size).iter().all(|x| *x == 7));
                heap.deallocate(object);
            }
        }
    }
    assert!(objects(&heap).is_empty());
}

#[test]
fn scope_nests_and_ends_with_a_panic() {
    let (outer, inner) = (Heap::new().unwrap(), Heap::new().unwrap());
    let (first, second, third) = outer.scope(|| {
        let first = vec![1u8; 100];
        let second = inner.scope(|| vec![2u8; 100]);
        (first, second, vec![3u8; 100])
    });
    assert!(outer.contains(first.as_ptr()) && outer.contains(third.as_ptr()));
    assert!(inner.contains(second.as_ptr()));
    let caught = std::panic::catch_unwind(|| outer.scope(|| panic!("ends the scope")));
    assert!(caught.is_err());
    let after = "four".repeat(25);
    assert!(!outer.contains(after.as_str()));
    drop((outer, inner));
    assert_eq!([first[99], second[99], third[99]], [1, 2, 3]);
}

#[test]
fn visit_ends_when_it_is_told_to() {
    let heap = Heap::new().unwrap();
    let boxes: Vec<_> = (0..100u32).map(|i| heap.boxed(i).unwrap()).collect();
    let mut seen = 0;
    let ended = heap.visit(|object: NonNull<u8>, _| {
        seen += 1;
        if seen == 10 {
            return ControlFlow::Break(object);
        }
        ControlFlow::Continue(())
    });
    assert_eq!(seen, 10);
    assert!(matches!(ended, Ok(ControlFlow::Break(object)) if heap.contains(object.as_ptr())));
    let visit = || heap.visit(|_, _| -> ControlFlow<()> { panic!("passes through") });
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(visit)).is_err());
    assert_eq!(objects(&heap).len(), boxes.len());
}

#[test]
fn arena_goes_at_once() {
    let drops = Cell::new(0);
    for _ in 0..3 {
        let arena = Arena::new().unwrap();
        let numbers: Vec<&mut u64> = (0..100_000).map(|i| arena.alloc(i).unwrap()).collect();
        assert!(numbers.iter().enumerate().all(|(i, number)| **number == i as u64));
        assert!(arena.contains(&*numbers[99_999]));
        assert_eq!(arena.alloc_slice(&[1u16, 2, 3]).unwrap(), [1, 2, 3]);
        assert_eq!(arena.alloc_slice::<u64>(&[]).unwrap(), []);
        assert_eq!(arena.alloc_str("ünder").unwrap(), "ünder");
        arena.alloc(Counted(&drops)).unwrap();
    }
    assert_eq!(drops.get(), 0);
}

#[test]
fn heaps_are_for_all_threads() {
    let heap = Heap::new().unwrap();
    let boxes: Vec<HeapBox<[u64; 4]>> = std::thread::scope(|scope| {
        let work = |thread: u64| {
            let heap = &heap;
            move || {
                let made = (0..20_000).map(|i| heap.boxed([thread, i, i, thread]).unwrap());
                made.filter(|object| object[1] % 10 == 0).collect::<Vec<_>>()
            }
        };
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(work(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    heap.collect(true);
    assert_eq!(objects(&heap), boxes.iter().map(address).collect());
    assert_eq!(boxes.len(), 8000);
    assert!(boxes.iter().all(|object| object[0] == object[3] && object[1] == object[2]));
}

#[cfg(feature = "allocator-api2")]
#[test]
fn collections_in_heaps_and_arenas() {
    use allocator_api2::boxed::Box;
    use allocator_api2::vec::Vec;

    let heap = Heap::new().unwrap();
    let mut numbers = Vec::new_in(&heap);
    numbers.extend(0..10_000u32);
    assert!(heap.contains(numbers.as_ptr()));
    numbers.truncate(3);
    numbers.shrink_to_fit();
    assert!(heap.contains(numbers.as_ptr()) && numbers == [0, 1, 2]);
    numbers.clear();
    numbers.shrink_to_fit();
    assert!(objects(&heap).is_empty());
    let arena = Arena::new().unwrap();
    let nested: Vec<Box<[u8; 70_000], &Arena>, &Arena> = {
        let mut nested = Vec::new_in(&arena);
        (0..9).for_each(|i| nested.push(Box::new_in([i; 70_000], &arena)));
        nested
    };
    assert!(nested.iter().enumerate().all(|(i, object)| object[69_999] == i as u8));
    assert!(arena.contains(&*nested[0]));
}

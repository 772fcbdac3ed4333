//! Hooks are called with what they are for, until they are taken away.

use mesh_alloc::{hooks, sys, Mesh};
use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::Mutex;

#[global_allocator]
static GLOBAL: Mesh = Mesh;

static BEATS: Mutex<Vec<(bool, u64)>> = Mutex::new(Vec::new());
static ERROR: AtomicI32 = AtomicI32::new(0);
static ASKED: AtomicUsize = AtomicUsize::new(0);
static TRIES: AtomicU64 = AtomicU64::new(0);

fn note_beat(force: bool, heartbeat: u64) {
    BEATS.lock().unwrap().push((force, heartbeat));
}

fn note_error(error: i32) {
    ERROR.store(error, Ordering::Relaxed);
}

fn give_up_at_third(size: usize) -> bool {
    ASKED.store(size, Ordering::Relaxed);
    TRIES.fetch_add(1, Ordering::Relaxed) < 2
}

#[test]
fn deferred_free_has_a_heartbeat() {
    hooks::on_deferred_free(Some(note_beat));
    for _ in 0..3 {
        mesh_alloc::collect(true);
    }
    hooks::on_deferred_free(None);
    let beats = BEATS.lock().unwrap().clone();
    // Those of this thread; others may have called at the same time.
    let forced: Vec<u64> =
        beats.iter().filter(|(force, _)| *force).map(|(_, beat)| *beat).collect();
    assert!(forced.len() >= 3 && forced.windows(2).all(|pair| pair[0] < pair[1]), "{beats:?}");
    let different: BTreeSet<u64> = beats.iter().map(|(_, beat)| *beat).collect();
    assert_eq!(different.len(), beats.len(), "{beats:?}");
    mesh_alloc::collect(true);
    assert_eq!(BEATS.lock().unwrap().len(), beats.len());
}

#[test]
fn no_memory_is_told_and_asked_about() {
    hooks::on_error(Some(note_error));
    hooks::on_out_of_memory(Some(give_up_at_third));
    // More than the address space has, and less than no system has.
    let layout = Layout::from_size_align(1 << 47, 8).unwrap();
    assert!(unsafe { Mesh.alloc(layout) }.is_null());
    assert_eq!(TRIES.load(Ordering::Relaxed), 3);
    assert_eq!(ASKED.load(Ordering::Relaxed), 1 << 47);
    assert_eq!(ERROR.load(Ordering::Relaxed), 12);
    assert!(unsafe { sys::mesh_malloc_aligned(8, 3) }.is_null());
    assert_eq!(ERROR.load(Ordering::Relaxed), 22);
    hooks::on_out_of_memory(None);
    hooks::on_error(None);
    assert!(unsafe { Mesh.alloc(layout) }.is_null());
    assert_eq!(TRIES.load(Ordering::Relaxed), 3);
    assert_eq!(ERROR.load(Ordering::Relaxed), 22);
}

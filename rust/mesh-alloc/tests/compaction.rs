//! A program on Mesh, its heap full of holes: it is compacted, alone and beside threads that store
//! to it, and a fork sees it whole. Not in the test harness, which has threads of its own.
//!
//! `MESH_BARRIER` chooses the way in which stores are held back. `UNPUBLISHED` says that what the
//! program lends to the kernel is not known, whatever it was built with.

use mesh_alloc::options::{Barrier, Options};
use mesh_alloc::{stats, Mesh};
use std::os::raw::c_int;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[global_allocator]
static GLOBAL: Mesh = Mesh;

extern "C" {
    fn fork() -> c_int;
    fn waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn _exit(status: c_int) -> !;
}

/// 64 bytes.
type Object = Box<[AtomicU64; 8]>;

/// A heap of which about every tenth object is kept, and holds its place in the list.
fn holey_heap() -> Vec<Object> {
    let mut state = 1u64;
    let mut all: Vec<Option<Object>> = (0..200_000).map(|_| Some(Object::default())).collect();
    for object in &mut all {
        // Random: spans with a pattern of holes might fit each other by design, or never.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if (state >> 33) % 10 != 0 {
            *object = None;
        }
    }
    let kept: Vec<Object> = all.into_iter().flatten().collect();
    for (i, object) in kept.iter().enumerate() {
        object[7].store(i as u64, Ordering::Relaxed);
    }
    kept
}

fn is_whole(kept: &[Object]) -> bool {
    kept.iter().enumerate().all(|(i, object)| object[7].load(Ordering::Relaxed) == i as u64)
}

/// Compacts, and returns by how many spans.
fn compact() -> u64 {
    let before = stats::Statistics::now().mesh_count;
    mesh_alloc::collect(true);
    stats::Statistics::now().mesh_count - before
}

fn alone() {
    let kept = holey_heap();
    let before = stats::process_info().physical_bytes;
    let meshed = compact();
    let after = stats::process_info().physical_bytes;
    println!("alone: {meshed} spans meshed, {before} bytes before, {after} after");
    assert_eq!(meshed > 100, expects_meshing(true));
    // 20,000 objects of 64 bytes take 313 pages, spread over 3,125.
    assert!(!expects_meshing(true) || before - after > 4 << 20);
    assert!(is_whole(&kept));
}

/// Whether a program can be meshed here at all, alone or with threads.
fn expects_meshing(is_alone: bool) -> bool {
    let is_published = cfg!(feature = "interpose")
        && !cfg!(target_feature = "crt-static")
        && std::env::var_os("UNPUBLISHED").is_none();
    match Options::current().barrier {
        Barrier::None => false,
        Barrier::Single => is_alone,
        Barrier::UserfaultUser | Barrier::Segv => is_published,
        Barrier::Userfault => stats::barrier_tier() == "userfaultfd",
        _ => is_alone || is_published || stats::barrier_tier() == "userfaultfd",
    }
}

fn beside_threads() {
    const THREADS: usize = 3;
    let kept = holey_heap();
    let is_over = AtomicBool::new(false);
    let rounds = AtomicU64::new(0);
    let mut meshed = 0;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (kept, is_over, rounds) = (&kept, &is_over, &rounds);
            scope.spawn(move || {
                let mut round = 0;
                while !is_over.load(Ordering::Relaxed) {
                    round += 1;
                    kept.iter().for_each(|object| object[thread].store(round, Ordering::Relaxed));
                    let last = |object: &Object| object[thread].load(Ordering::Relaxed);
                    assert!(kept.iter().all(|object| last(object) == round), "a store was lost");
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // A busy machine may leave no batch of the last tier the time it takes.
        for turn in 0..100 {
            if turn >= 5 && (meshed > 100 || !expects_meshing(false)) {
                break;
            }
            let before = rounds.load(Ordering::Relaxed);
            meshed += compact();
            while rounds.load(Ordering::Relaxed) < before + THREADS as u64 {
                std::thread::yield_now();
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    println!("beside threads: {meshed} spans meshed, tier {}", stats::barrier_tier());
    assert_eq!(meshed > 100, expects_meshing(false));
    assert!(is_whole(&kept));
}

fn across_a_fork() {
    let kept = holey_heap();
    compact();
    // SAFETY: the child touches objects and ends; parent and child each have their own.
    unsafe {
        let child = fork();
        if child == 0 {
            let is_right = is_whole(&kept);
            kept.iter().for_each(|object| object[7].store(u64::MAX, Ordering::Relaxed));
            _exit(if is_right { 0 } else { 1 });
        }
        let mut status = -1;
        assert_eq!(waitpid(child, &mut status, 0), child);
        assert_eq!(status, 0);
    }
    assert!(is_whole(&kept));
}

fn main() {
    alone();
    beside_threads();
    across_a_fork();
}

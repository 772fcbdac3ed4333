//! What the heap looks like.
//!
//! ```
//! use mesh_alloc::stats::{process_info, Statistics};
//!
//! let statistics = Statistics::now();
//! println!("{} spans meshed, {} pages saved", statistics.mesh_count, statistics.meshed_pages_now);
//! for class in statistics.classes.iter().filter(|class| class.meshed > 0) {
//!     println!("objects of {} bytes: {} spans share pages", class.object_size, class.meshed);
//! }
//! println!("{} bytes of memory", process_info().physical_bytes);
//! ```

use crate::sys;
use std::ffi::CStr;
use std::mem::size_of;
use std::ptr;

pub use crate::sys::mesh_process_info_t as ProcessInfo;

/// Figures of the process: memory, page faults, time. Takes about 100 microseconds.
pub fn process_info() -> ProcessInfo {
    let mut info = ProcessInfo::default();
    // SAFETY: `info` is as large as said. It refuses no structure of its own header.
    unsafe { sys::mesh_process_info(&mut info, size_of::<ProcessInfo>()) };
    info
}

/// How stores were held back in the last pass: "single thread", "userfaultfd", "userfaultfd user
/// mode" or "segv". "none": there was no pass yet, or nothing will do, and the heap is not meshed.
pub fn barrier_tier() -> String {
    text_of(&json(), "barrier_tier").unwrap_or_default()
}

/// A field of each kind from a piece of the report.
macro_rules! figures {
    ($(#[$head:meta])* $struct:ident { $($(#[$note:meta])* $name:ident,)* } $($rest:tt)*) => {
        $(#[$head])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $struct {
            $($(#[$note])* pub $name: u64,)*
            $($rest)*
        }

        impl $struct {
            /// Names of the figures.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];

            fn of_report(report: &str) -> Self {
                #[allow(clippy::needless_update)]
                $struct {
                    $($name: number_of(report, stringify!($name)).unwrap_or(0),)*
                    ..Default::default()
                }
            }
        }
    };
}

figures! {
    /// Figures of the whole heap. One that this library does not have is 0.
    Statistics {
        /// Spans whose pages were meshed away since the start.
        mesh_count,
        /// Pages given back by meshing since the start.
        meshed_pages_total,
        /// Pages saved by meshing now.
        meshed_pages_now,
        /// Most pages saved by meshing at one time.
        meshed_pages_hwm,
        /// Meshing passes since the start.
        mesh_passes,
        /// Meshes given up because the mapping budget was used up.
        mesh_failed_mappings,
        /// Meshes undone because the kernel refused to map.
        mesh_failed_map,
        /// Meshes given up because no write barrier could be raised.
        mesh_failed_barrier,
        /// MiniHeaps made since the start.
        miniheap_alloc_count,
        /// MiniHeaps given up since the start.
        miniheap_free_count,
        /// Most MiniHeaps at one time.
        miniheap_hwm,
        /// Bytes in objects that the program holds, rounded up to slots.
        live_bytes,
        /// Large objects now.
        large_count,
        /// Bytes in large objects now.
        large_bytes,
        /// Virtual bytes of spans in use.
        mapped_bytes,
        /// Address segments of the arena.
        arena_segments,
        /// Addresses reserved by the arena.
        arena_reserved_bytes,
        /// Arena bytes in spans and in free runs that keep their pages.
        arena_committed_bytes,
        /// Bytes in free runs whose pages have not gone back to the kernel.
        dirty_bytes,
        /// Memory held by the backing of meshed pages.
        backing_bytes,
        /// Proportional set size of the process.
        pss_bytes,
        /// The anonymous part of `pss_bytes`.
        pss_anon_bytes,
        /// Resident set size; counts a meshed page once for each of its addresses.
        rss_bytes,
        /// Mappings of the process.
        mappings_used,
        /// Mappings up to which meshing may go.
        mappings_budget,
        /// Longest time that meshing held a size class for one batch.
        longest_pause_ns,
        /// Longest time that any thread waited for such a batch.
        longest_wait_ns,
        /// Turns of the background thread since the start.
        background_turns,
        /// Processor time of the background thread.
        background_cpu_ns,
    }
    /// The size classes.
    pub classes: Vec<ClassStatistics>,
}

figures! {
    /// Figures of one size class.
    ClassStatistics {
        /// Bytes of a slot.
        object_size,
        /// Pages of a span.
        span_pages,
        /// Spans in all.
        spans,
        /// Spans that a thread allocates from.
        attached,
        /// Detached spans with free slots.
        partial,
        /// Spans without a free slot.
        full,
        /// Virtual spans that share the pages of another.
        meshed,
        /// Objects that the program holds.
        live_objects,
        /// Slots of all physical spans.
        capacity_objects,
    }
}

impl Statistics {
    /// All figures of one moment.
    pub fn now() -> Statistics {
        let report = json();
        let (whole, classes) = report.split_once("\"classes\":").unwrap_or((&report, ""));
        let mut statistics = Statistics::of_report(whole);
        statistics.classes = classes.split('{').skip(1).map(ClassStatistics::of_report).collect();
        statistics
    }
}

/// All figures as one JSON object, as `MESH_STATS_FILE` has it.
pub fn json() -> String {
    const KEY: &[u8] = b"stats.json\0";
    let key = CStr::from_bytes_with_nul(KEY).expect("ends with a zero").as_ptr();
    let mut room = 16 * 1024;
    loop {
        let mut text: Vec<u8> = Vec::with_capacity(room);
        let mut size = room;
        // SAFETY: `text` has room for `size` bytes, of which a call that succeeds has written the
        // number it leaves in `size`, the last one a zero.
        unsafe {
            let old = text.as_mut_ptr().cast();
            if sys::mesh_mallctl(key, old, &mut size, ptr::null_mut(), 0) == 0 {
                text.set_len(size.saturating_sub(1));
                return String::from_utf8(text).unwrap_or_default();
            }
        }
        // It did not fit.
        if room >= 16 * 1024 * 1024 {
            return String::new();
        }
        room *= 2;
    }
}

/// What follows `"name": ` in the report.
fn value_of<'a>(report: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = report.split_once(&format!("\"{}\":", name))?;
    Some(rest.trim_start())
}

fn number_of(report: &str, name: &str) -> Option<u64> {
    let value = value_of(report, name)?;
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    value[..end].parse().ok()
}

fn text_of(report: &str, name: &str) -> Option<String> {
    let (text, _) = value_of(report, name)?.strip_prefix('"')?.split_once('"')?;
    Some(text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_report_holds() {
        let report = "{\n\"live_bytes\": 12,\n\"x\": \"a b\",\n\"classes\": [\n{\"spans\": 3}]\n}";
        assert_eq!(number_of(report, "live_bytes"), Some(12));
        assert_eq!(number_of(report, "bytes"), None);
        assert_eq!(text_of(report, "x"), Some("a b".to_string()));
        assert_eq!(text_of(report, "live_bytes"), None);
        assert_eq!(ClassStatistics::of_report("\"spans\": 3}").spans, 3);
    }

    #[test]
    fn figures_are_of_this_process() {
        let object = unsafe { sys::mesh_malloc(1_000_000) };
        let statistics = Statistics::now();
        assert!(statistics.large_bytes >= 1_000_000 && statistics.rss_bytes > 0);
        assert!(statistics.classes.len() > 10 && statistics.classes[1].object_size > 0);
        assert!(process_info().live_bytes >= 1_000_000);
        unsafe { sys::mesh_free(object) };
    }
}

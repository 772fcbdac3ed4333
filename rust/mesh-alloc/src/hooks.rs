//! What Mesh calls back: of the whole process, in the thread whose call led to it.
//!
//! Hooks are plain functions; `None` takes one away. They may allocate and free. What would lead to
//! the same hook again in that thread does not call it. One that panics ends the process.
//!
//! ```
//! use mesh_alloc::hooks;
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! static LAST: AtomicU64 = AtomicU64::new(0);
//!
//! fn free_some(_all: bool, heartbeat: u64) {
//!     // Frees a part of what waits, as reference counting in bounded time does.
//!     LAST.store(heartbeat, Ordering::Relaxed);
//! }
//!
//! hooks::on_deferred_free(Some(free_some));
//! mesh_alloc::collect(true);
//! assert!(LAST.load(Ordering::Relaxed) > 0);
//! ```

use crate::sys;
use std::ffi::CStr;
use std::os::raw::{c_char, c_int, c_void};
use std::panic::{self, UnwindSafe};
use std::ptr;

/// Runs a hook, out of which no panic may go into C.
fn guarded<R>(hook: impl FnOnce() -> R + UnwindSafe) -> R {
    panic::catch_unwind(hook).unwrap_or_else(|_| std::process::abort())
}

/// A function that registers a hook: its name in C, how C calls it, and how it comes back to Rust.
macro_rules! hook {
    (
        $(#[$note:meta])*
        $name:ident($type:ty), $register:ident,
        $called:ident($($argument:ident: $c_type:ty),*) $(-> $result:ty)?, $call:expr
    ) => {
        $(#[$note])*
        pub fn $name(hook: Option<$type>) {
            unsafe extern "C" fn $called(
                $($argument: $c_type,)*
                hook: *mut c_void,
            ) $(-> $result)? {
                // SAFETY: what was registered with this function is such a pointer.
                let hook = std::mem::transmute::<*mut c_void, $type>(hook);
                guarded(move || $call(hook, $($argument),*))
            }
            // SAFETY: the hook is a function, which is there for ever, and the argument is it.
            unsafe {
                match hook {
                    Some(hook) => sys::$register(Some($called), hook as *mut c_void),
                    None => sys::$register(None, ptr::null_mut()),
                }
            }
        }
    };
}

hook! {
    /// Called now and then before an allocation that has to look for memory, so that it may free
    /// some of what waits; all of it, if the first argument says so. The second one, the heartbeat,
    /// grows with each call, in all threads together.
    on_deferred_free(fn(bool, u64)), mesh_register_deferred_free,
    call_deferred_free(force: bool, heartbeat: u64),
    |hook: fn(bool, u64), force, heartbeat| hook(force, heartbeat)
}

hook! {
    /// Called with what Mesh would write to standard error: reports and complaints, a piece at a
    /// time.
    on_output(fn(&str)), mesh_register_output,
    call_output(text: *const c_char),
    |hook: fn(&str), text: *const c_char| {
        // SAFETY: a text that ends with a zero, there for the call.
        hook(&CStr::from_ptr(text).to_string_lossy())
    }
}

hook! {
    /// Called with the `errno` value of an error: `ENOMEM`, `EINVAL` (an alignment), or `EAGAIN`
    /// (double free) and `EFAULT` (another misuse), after which the process ends. Then it may
    /// allocate and free, and call nothing else of Mesh.
    on_error(fn(i32)), mesh_register_error,
    call_error(error: c_int),
    |hook: fn(i32), error| hook(error)
}

hook! {
    /// Called when there is no memory for so many bytes: it may free something, and returns whether
    /// to try again. Not for sizes that no system has.
    on_out_of_memory(fn(usize) -> bool), mesh_register_out_of_memory,
    call_out_of_memory(size: usize) -> bool,
    |hook: fn(usize) -> bool, size| hook(size)
}

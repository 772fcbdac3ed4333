//! `mesh_mallctl` with types.

use crate::sys;
use std::ffi::{CStr, CString};
use std::fmt;
use std::mem::{size_of, MaybeUninit};
use std::os::raw::{c_char, c_int};
use std::ptr;

/// Why a value cannot be read or set: the `errno` value of `mesh_mallctl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtlError(c_int);

impl CtlError {
    /// `ENOENT` (no such name), `EINVAL` (out of range) or `EPERM` (cannot be set).
    pub fn errno(self) -> i32 {
        self.0
    }
}

impl fmt::Display for CtlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mesh_mallctl: {}", std::io::Error::from_raw_os_error(self.0))
    }
}

impl std::error::Error for CtlError {}

fn check(error: c_int) -> Result<(), CtlError> {
    match error {
        0 => Ok(()),
        error => Err(CtlError(error)),
    }
}

/// What keys have for values.
pub(crate) trait Value: Copy {}
impl Value for usize {}
impl Value for u8 {} // C's bool, whatever it holds
impl Value for *const c_char {}

/// Reads a key. The size that the key has is checked by Mesh.
pub(crate) fn read<T: Value>(key: &str) -> Result<T, CtlError> {
    let key = CString::new(key).map_err(|_| CtlError(ENOENT))?;
    let mut value = MaybeUninit::<T>::uninit();
    let mut size = size_of::<T>();
    // SAFETY: `value` has room for `size` bytes; success means that all of them were written, and
    // every value of these types is valid.
    unsafe {
        let old = value.as_mut_ptr().cast();
        check(sys::mesh_mallctl(key.as_ptr(), old, &mut size, ptr::null_mut(), 0))?;
        Ok(value.assume_init())
    }
}

/// Sets a key that holds a number.
pub(crate) fn write(key: &str, mut value: usize) -> Result<(), CtlError> {
    let key = CString::new(key).map_err(|_| CtlError(ENOENT))?;
    let (new, size) = ((&mut value as *mut usize).cast(), size_of::<usize>());
    // SAFETY: `value` is there for the call; nothing is read back.
    let error =
        unsafe { sys::mesh_mallctl(key.as_ptr(), ptr::null_mut(), ptr::null_mut(), new, size) };
    check(error)
}

/// Reads a key that holds a text which never changes; none where it has none.
pub(crate) fn read_text(key: &str) -> Result<Option<&'static str>, CtlError> {
    let text = read::<*const c_char>(key)?;
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: texts of keys are constants of the library, or set once when it came up.
    Ok(unsafe { CStr::from_ptr(text) }.to_str().ok())
}

/// `ENOENT` of Linux.
const ENOENT: c_int = 2;

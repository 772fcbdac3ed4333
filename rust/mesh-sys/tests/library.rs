//! The library that was built or found is the one that the bindings and the features ask for.

use std::ffi::CStr;
use std::os::raw::c_void;

extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn free(object: *mut c_void);
}

#[test]
fn is_of_this_version() {
    let version = unsafe { CStr::from_ptr(mesh_sys::mesh_version()) };
    assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
}

#[test]
fn objects_are_made_resized_and_freed() {
    unsafe {
        let object = mesh_sys::mesh_zalloc(100).cast::<u8>();
        assert!(mesh_sys::mesh_is_in_heap(object.cast()));
        assert_eq!(*object.add(99), 0);
        *object.add(99) = 7;
        let object = mesh_sys::mesh_realloc(object.cast(), 5000).cast::<u8>();
        assert_eq!(*object.add(99), 7);
        assert!(mesh_sys::mesh_usable_size(object.cast()) >= 5000);
        mesh_sys::mesh_free(object.cast());
        assert!(mesh_sys::mesh_malloc(usize::MAX).is_null());
    }
}

#[test]
fn malloc_is_libcs_unless_overridden() {
    unsafe {
        let object = malloc(100);
        assert_eq!(mesh_sys::mesh_is_in_heap(object), cfg!(feature = "override"));
        free(object);
    }
}

#[test]
fn needs_no_library_of_cpp() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps.contains("libc.so") || cfg!(target_feature = "crt-static"));
    assert!(!maps.contains("stdc++"), "{maps}");
}

//! Finding the library. One test, for a process loads the library once: its order is the order in a process.

use std::path::Path;

use diad_engine::{Runtime, RuntimeError};

#[test]
fn load_tells_every_place_it_tried_then_loads_once_and_keeps_that() {
    let folder = tempfile::TempDir::new().unwrap();
    let absent = folder.path().join("absent.so");
    let text = folder.path().join("text.so");
    std::fs::write(&text, "no library").unwrap();
    // The C mathematics library loads anywhere and is no ONNX Runtime.
    let other = Path::new("libm.so.6");

    let error = Runtime::load(&[&absent, &text, other]).unwrap_err();
    let RuntimeError::NotFound { tried } = &error else { panic!("{error:?}") };
    let places: Vec<&Path> = tried.0.iter().map(|attempt| attempt.path.as_path()).collect();
    assert_eq!(places, [&absent, &text, other]);
    let message = error.to_string();
    for reason in ["cannot open shared object file", "file too short", "does not export `OrtGetApiBase`", "make setup"]
    {
        assert!(message.contains(reason), "{reason:?} is not in {message:?}");
    }

    let runtime = Runtime::load(&[]).unwrap_or_else(|error| panic!("run `make setup`: {error}"));
    assert!(runtime.path().exists(), "{}", runtime.path().display());
    assert!(runtime.build_info().contains("ORT Build Info"), "{}", runtime.build_info());
    if runtime.path().parent().is_some_and(|folder| folder.ends_with("target/ort/lib")) {
        assert_eq!(runtime.version(), Some("1.24.4"));
    }
    let bare = Runtime::load(&[Path::new("libonnxruntime.so")]).unwrap();
    assert!(std::ptr::eq(runtime, bare), "a bare name means the library in use");
    let again = Runtime::load(&[runtime.path()]).unwrap();
    assert!(std::ptr::eq(runtime, again));
    assert!(matches!(Runtime::load(&[&absent]), Err(RuntimeError::Loaded { loaded }) if loaded == runtime.path()));
}

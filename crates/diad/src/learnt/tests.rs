use std::ffi::OsString;

use diad_core::drift::{Reference, Spread};
use diad_core::score::Score;
use diad_publish::wire::Digest;

use super::current::Cuts;
use super::*;

fn product(name: &str) -> ProductName {
    ProductName::try_new(name).unwrap()
}

fn state(bank: Option<u8>, cuts: Option<(f32, f32)>) -> State {
    let score = |value| Score::try_new(value).unwrap();
    let reference = Reference { score: Spread::try_new(0.25, 0.5).ok(), ..Reference::default() };
    let cuts = cuts.map(|(review, reject)| Cuts { review: score(review), reject: score(reject), reference });
    State { bank: bank.map(|byte| Digest::from_bytes([byte; 32])), cuts }
}

#[test]
fn store_lies_beside_the_ledger_or_in_the_users_state() {
    assert_eq!(Store::beside(Path::new("/var/lib/diad/ledger.sqlite3")).root(), Path::new("/var/lib/diad/products"));
    let of_user = |variables: &[(&str, &str)]| {
        let variables: Vec<Variable> = variables.iter().map(|(a, b)| (OsString::from(a), OsString::from(b))).collect();
        Store::of_user(&variables).map(|store| store.root().display().to_string()).map_err(|error| error.exit())
    };
    let home = ("HOME", "/home/me");
    assert_eq!(of_user(&[home]), Ok("/home/me/.local/state/diad/products".to_owned()));
    assert_eq!(of_user(&[home, ("XDG_STATE_HOME", "/s")]), Ok("/s/diad/products".to_owned()));
    assert_eq!(of_user(&[home, ("XDG_STATE_HOME", "/s"), ("DIAD_STATE", "/d")]), Ok("/d/products".to_owned()));
    assert_eq!(of_user(&[("HOME", ""), ("DIAD_STATE", "")]), Err(Exit::Usage));
}

#[test]
fn overlays_are_named_by_their_content_and_stay_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::beside(&folder.path().join("ledger.sqlite3"));
    assert_eq!(store.products().unwrap(), []);
    let shelf = store.shelf(&product("washer"));
    assert_eq!((shelf.kept().unwrap(), shelf.current().unwrap()), (vec![], None));
    let _lock = shelf.lock().unwrap();
    let digest = shelf.put(b"abc").unwrap();
    assert_eq!(digest.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(fs::read(shelf.path(digest)).unwrap(), b"abc");
    assert_eq!(shelf.put(b"abc").unwrap(), digest);
    fs::write(shelf.path(digest), "torn").unwrap();
    assert_eq!(shelf.put(b"abc").unwrap(), digest, "one that was damaged is written again");
    assert_eq!(fs::read(shelf.path(digest)).unwrap(), b"abc");
    fs::write(shelf.folder().join("notes.safetensors"), "").unwrap();
    assert_eq!(shelf.kept().unwrap(), [Kept { digest, bytes: 3 }]);
    assert_eq!(store.products().unwrap(), [product("washer")]);
    shelf.remove(digest).unwrap();
    assert_eq!(shelf.kept().unwrap(), []);
    assert!(matches!(shelf.remove(digest), Err(StoreError::Remove { .. })));
}

#[test]
fn one_process_at_a_time_changes_a_product() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::beside(&folder.path().join("ledger.sqlite3"));
    let lock = store.shelf(&product("washer")).lock().unwrap();
    let second = store.shelf(&product("washer")).lock();
    assert!(matches!(&second, Err(error @ StoreError::Busy { .. }) if error.exit() == Exit::Unavailable), "{second:?}");
    assert!(store.shelf(&product("gear")).lock().is_ok());
    drop(lock);
    assert!(store.shelf(&product("washer")).lock().is_ok());
}

#[test]
fn pointer_takes_its_place_as_a_whole_and_remembers_what_was_before() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Store::beside(&folder.path().join("ledger.sqlite3")).shelf(&product("washer"));
    let _lock = shelf.lock().unwrap();
    let mut current = Current { now: state(None, Some((0.1, 0.2))), previous: Vec::new() };
    current.go_on(state(Some(1), Some((0.3, 0.4))));
    current.go_on(state(Some(2), Some((0.5, 0.6))));
    let draft = shelf.draft_current(&current).unwrap();
    assert_eq!(shelf.current().unwrap(), None, "a draft is not in its place");
    draft.keep().unwrap();
    let mut read = shelf.current().unwrap().unwrap();
    assert_eq!(read, current);
    assert_eq!(read.last_with(None), Some(state(None, Some((0.1, 0.2)))));
    assert_eq!(read.last_with(state(Some(2), None).bank), None);
    assert!(read.go_back());
    assert_eq!(read.now, state(Some(1), Some((0.3, 0.4))));
    assert!(read.go_back() && !read.go_back());
    assert_eq!(read, Current { now: state(None, Some((0.1, 0.2))), previous: Vec::new() });
    (0..200).for_each(|step| read.go_on(state(Some(step), None)));
    assert_eq!((read.previous.len(), read.previous[0]), (100, state(Some(99), None)));
}

#[test]
fn pointer_of_somebody_else_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Store::beside(&folder.path().join("ledger.sqlite3")).shelf(&product("washer"));
    let _lock = shelf.lock().unwrap();
    for (text, want) in [
        ("", "is damaged; remove it"),
        ("{\"format\":1,\"bank\":\"sha256:12\",\"cuts\":null,\"previous\":[]}", "is damaged; remove it"),
        ("{\"format\":1,\"bank\":null,\"cuts\":null,\"previous\":[],\"more\":1}", "is damaged; remove it"),
        ("{\"format\":1,\"bank\":null,\"cuts\":{\"review\":-1,\"reject\":0},\"previous\":[]}", "is damaged; remove it"),
        ("{\"format\":2,\"anything\":1}", "has format 2; this program knows format 1"),
    ] {
        fs::write(shelf.folder().join("current.json"), text).unwrap();
        let error = shelf.current().unwrap_err();
        assert!(error.to_string().contains(want) && error.exit() == Exit::BadData, "{text}: {error}");
    }
}

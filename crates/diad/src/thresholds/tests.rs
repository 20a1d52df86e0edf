use std::fs;

use diad_core::drift::Spread;
use proptest::prelude::*;

use super::*;

const GOOD: &str = "default: { review: 0.36, reject: 0.42 }\nproducts:\n  washer: { review: 0.30, reject: 0.38 }\n";
const OTHER: &str = "default: { review: 0.1, reject: 0.2 }\nproducts: { washer: {} }\n";
const BAD: &str = "default: { review: 0.5, reject: 0.2 }\n";

fn read(text: &str) -> Result<ThresholdSet, Vec<String>> {
    ThresholdSet::read(text, "t.yaml").map_err(|faults| faults.iter().map(Fault::to_string).collect())
}

fn product(name: &str) -> ProductName {
    ProductName::try_new(name).unwrap()
}

fn score(value: f32) -> Score {
    Score::try_new(value).unwrap()
}

fn cuts(set: &ThresholdSet, name: &str) -> (f32, f32, u32) {
    let thresholds = set.for_product(Some(&product(name)));
    (thresholds.review().get(), thresholds.reject().get(), thresholds.min_area_px())
}

#[test]
fn for_product_takes_the_default_for_what_is_not_set() {
    let set = read("default: { review: 0.3, reject: 0.4, min_area_px: 7 }\nproducts:\n  gear: { reject: 0.5 }\n  cap:\n    review: 0\n    min_area_px: 0\n")
        .unwrap();
    assert_eq!(cuts(&set, "gear"), (0.3, 0.5, 7));
    assert_eq!(cuts(&set, "cap"), (0.0, 0.4, 0));
    assert_eq!(cuts(&set, "glass"), (0.3, 0.4, 7));
    assert_eq!(set.for_product(None).reject(), score(0.4));
    assert_eq!(set.products().map(ProductName::as_str).collect::<Vec<_>>(), ["cap", "gear"]);
}

#[test]
fn products_are_one_name_in_both_unicode_forms() {
    let of = |products: &str| read(&format!("default: {{ review: 0.3, reject: 0.4 }}\nproducts: {{ {products} }}\n"));
    let set = of("Geha\u{308}use: { reject: 0.5 }").unwrap();
    assert_eq!(cuts(&set, "Geh\u{e4}use"), (0.3, 0.5, 0));
    let faults = of("Geh\u{e4}use: {}, Geha\u{308}use: {}").unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("is set twice"), "{faults:?}");
}

#[test]
fn strangers_are_products_with_thresholds_that_the_model_does_not_know() {
    let set = read("default: { review: 0.3, reject: 0.4 }\nproducts: { gear: {}, gaer: {} }\n").unwrap();
    let known = ["cap".to_owned(), "gear".to_owned()];
    assert_eq!(set.strangers(&known), ["the model does not know product gaer, only cap, gear, did you mean gear?"]);
    assert!(set.strangers(&["gaer".to_owned(), "gear".to_owned()]).is_empty());
}

#[test]
fn bank_of_a_product_is_its_own_and_counts_in_the_digest() {
    let text =
        |bank: &str| format!("default: {{ review: 0.3, reject: 0.4 }}\nproducts:\n  gear: {{ {bank} }}\n  cap: {{}}\n");
    let hex = "ab".repeat(32);
    let (with, without) = (read(&text(&format!("bank: \"sha256:{hex}\""))).unwrap(), read(&text("bank: ~")).unwrap());
    let named = with.bank(Some(&product("gear"))).unwrap();
    assert_eq!(named.digest.hex(), hex);
    let fault = named.fault("is not here".to_owned(), Some("learn")).to_string();
    assert_eq!(fault, "t.yaml:3:17: products.gear.bank: is not here, allowed: learn");
    assert_eq!(with.banks().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["gear"]);
    assert!(with.bank(Some(&product("cap"))).is_none() && with.bank(None).is_none());
    assert_ne!(with.digest(), without.digest());
    assert_eq!(without.digest(), read(&text("")).unwrap().digest(), "a file without banks has the digest of old");
    assert_ne!(with.digest(), read(&text(&format!("bank: \"{}\"", "cd".repeat(32)))).unwrap().digest());
}

#[test]
fn read_takes_the_shipped_file_and_one_without_products() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/thresholds.yaml");
    let set = ThresholdSet::load(&shipped).unwrap();
    assert_eq!(set.products().count(), 9, "every product of the shipped model has its own");
    let washer = ProductName::try_new("washer").unwrap();
    assert_ne!(set.for_product(Some(&washer)), set.for_product(None));
    assert!(read("default: { review: 0, reject: 1 }\nproducts: null\n").is_ok());
}

#[test]
fn read_reports_every_fault_at_once() {
    let keys = "allowed: review, reject, min_area_px, roi, ignore";
    for (text, want) in [
        ("", &["1:1: has no value, allowed: a mapping of keys to values"][..]),
        ("products: {}\n", &["1:1: default: is missing, allowed: a mapping of keys to values"]),
        (
            "default: {}\n",
            &[
                "1:10: default.reject: is missing, allowed: a number from 0 to 1",
                "1:10: default.review: is missing, allowed: a number from 0 to 1",
            ],
        ),
        (
            "default: { review: .nan, reject: 1.01, min_area_px: -1 }\n",
            &[
                "1:20: default.review: is not a number (NaN), allowed: a number from 0 to 1",
                "1:34: default.reject: 1.01 is out of range, allowed: a number from 0 to 1",
                "1:53: default.min_area_px: -1 is out of range, allowed: a whole number from 0 to 268435456",
            ],
        ),
        (
            "default: { review: -0.1, reject: high }\nproducts: { gear: { reject: 0.5 } }\n",
            &[
                "1:20: default.review: -0.1 is out of range, allowed: a number from 0 to 1",
                "1:34: default.reject: \"high\" is text, allowed: a number from 0 to 1",
            ],
        ),
        (BAD, &["1:10: default: review 0.5 is above reject 0.2; review must not be larger"]),
        (
            "default: { review: 0.3, reject: 0.4 }\nproducts:\n  gear: { review: 0.5 }\n  a b: { rejct: 0 }\n  cap: 5\n",
            &[
                "3:9: products.gear: review 0.5 is above reject 0.4; review must not be larger",
                "4:3: products.a b: character ' ' is not allowed in a name; use letters, digits, '.', '_', '-', ':' or '@'",
                &format!("4:10: products.a b.rejct: unknown key, did you mean \"reject\"?, {keys}, reference, bank"),
                "5:8: products.cap: 5 is a number, allowed: a mapping of keys to values",
            ],
        ),
        (
            "default: { review: 0.3, reject: 0.4 }\nproducts:\n  gear: {}\n  gear: {}\nprodcts: {}\n",
            &[
                "4:3: products.gear: is set twice, first in line 3",
                "5:1: prodcts: unknown key, did you mean \"products\"?, allowed: default, products",
            ],
        ),
        (
            "default: { review: 0.3, reject: 0.4, reference: {} }\nproducts: { gear: { reference: { score: 1, brigthness: [0, 1], sharpness: [1] } },\n  cap: { reference: { score: [-1, .inf] } } }\n",
            &[
                &format!("1:38: default.reference: unknown key, {keys}"),
                "2:41: products.gear.reference.score: 1 is a number, allowed: a list",
                "2:44: products.gear.reference.brigthness: unknown key, did you mean \"brightness\"?, allowed: score, brightness, sharpness",
                "2:75: products.gear.reference.sharpness: must be two numbers, allowed: [mean, standard deviation]",
                "3:31: products.cap.reference.score[0]: -1 is out of range, allowed: a number from 0 to 1000",
                "3:35: products.cap.reference.score[1]: inf is out of range, allowed: a number from 0 to 1000",
            ],
        ),
        (
            "default: { review: 0.3, reject: 0.4, bank: x }\nproducts:\n  gear: { bank: sha256:12 }\n  cap: { bank: 7 }\n",
            &[
                &format!("1:38: default.bank: unknown key, {keys}"),
                "3:17: products.gear.bank: \"sha256:12\" is not a SHA-256 digest of 64 hexadecimal digits, allowed: sha256: and 64 hexadecimal digits, as diad learn writes it",
                "4:16: products.cap.bank: 7 is a number, allowed: text; put it into quotes",
            ],
        ),
        ("default:\n\treview: 0.3\n", &["2:1: a tab stands in the indentation, allowed: spaces"]),
    ] {
        let want: Vec<_> = want.iter().map(|line| format!("t.yaml:{line}")).collect();
        assert_eq!(read(text).unwrap_err(), want);
    }
}

#[test]
fn digest_follows_the_meaning_and_not_the_spelling() {
    let digest = |text: &str| read(text).unwrap().digest();
    let spelled = "products: { washer: { review: 3e-1, reject: .38, min_area_px: 0 } }\ndefault: { reject: 0.420, review: 0.36 }\n";
    assert_eq!(digest(GOOD), digest(spelled));
    assert_ne!(digest(GOOD), digest(OTHER));
    assert_ne!(digest(GOOD), digest(&GOOD.replace("0.38", "0.39")));
}

#[test]
fn digest_of_a_set_without_masks_is_what_it_was_before_there_were_any() {
    let digest = read(GOOD).unwrap().digest().to_string();
    assert_eq!(digest, "sha256:827ec8b4a1cfdcce9c92d21f1a7145a4");
}

#[test]
fn reference_is_read_by_product_and_changes_no_digest() {
    let text = GOOD.replace("0.38", "0.38, reference: { score: [0.02, 3e-3], sharpness: [1, 0] }");
    let set = read(&text).unwrap();
    let reference = set.reference(Some(&product("washer")));
    assert_eq!(reference.score.map(|spread| (spread.mean(), spread.sd())), Some((0.02, 0.003)));
    assert_eq!((reference.brightness, reference.sharpness.map(Spread::mean)), (None, Some(1.0)));
    assert_eq!((set.reference(Some(&product("gear"))), set.reference(None)), Default::default());
    assert_eq!(set.digest(), read(GOOD).unwrap().digest());
}

/// A watched file in a folder of its own.
struct Save {
    folder: tempfile::TempDir,
    watcher: Watcher,
}

impl Save {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.yaml"), GOOD).unwrap();
        let watcher = Watcher::open(&folder.path().join("t.yaml")).unwrap();
        Self { folder, watcher }
    }

    fn in_place(&self, text: &str) {
        fs::write(self.folder.path().join("t.yaml"), text).unwrap();
    }

    fn rename_over(&self, text: &str) {
        fs::write(self.folder.path().join("new"), text).unwrap();
        fs::rename(self.folder.path().join("new"), self.folder.path().join("t.yaml")).unwrap();
    }

    fn review(&self) -> Score {
        self.watcher.live().current().for_product(None).review()
    }

    #[track_caller]
    fn expect_taken(&mut self, review: f32) {
        let before = self.watcher.live().saves();
        assert_eq!(self.watcher.poll(), None, "read once: may be half a save");
        assert!(matches!(self.watcher.poll(), Some(Change::Taken(_))));
        assert_eq!(self.watcher.live().saves(), Saves { taken: before.taken + 1, ..before });
        assert_eq!(self.review(), score(review));
        assert_eq!(self.watcher.poll(), None, "reported once");
    }

    #[track_caller]
    fn expect_refused(&mut self, want: &str) {
        let (before, saves) = (self.review(), self.watcher.live().saves());
        assert_eq!(self.watcher.poll(), None);
        match self.watcher.poll() {
            Some(Change::Refused(faults)) => assert!(faults[0].to_string().contains(want), "{}", faults[0]),
            other => panic!("{other:?}"),
        }
        assert_eq!(self.review(), before);
        assert_eq!(self.watcher.live().saves(), Saves { refused: saves.refused + 1, ..saves });
        assert_eq!(self.watcher.poll(), None, "reported once");
    }
}

#[test]
fn poll_of_an_untouched_file_gives_nothing() {
    let mut save = Save::new();
    assert_eq!((save.watcher.poll(), save.watcher.poll()), (None, None));
    save.in_place(GOOD);
    assert_eq!((save.watcher.poll(), save.watcher.poll()), (None, None));
}

#[test]
fn poll_takes_a_valid_save_however_it_is_made() {
    let mut save = Save::new();
    save.in_place(OTHER);
    save.expect_taken(0.1);
    save.rename_over(GOOD);
    save.expect_taken(0.36);
}

#[test]
fn poll_takes_a_save_of_the_same_length_and_time() {
    let mut save = Save::new();
    let path = save.folder.path().join("t.yaml");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    save.in_place(&GOOD.replace("0.36", "0.35"));
    fs::File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
    save.expect_taken(0.35);
}

#[test]
fn poll_of_an_invalid_save_changes_nothing_and_reports_it_once() {
    let mut save = Save::new();
    save.in_place(BAD);
    save.expect_refused(":1:10: default: review 0.5 is above reject 0.2");
    save.in_place("");
    save.expect_refused("has no value");
    save.rename_over(GOOD);
    save.expect_taken(0.36);
}

#[test]
fn poll_of_a_file_that_is_gone_keeps_the_thresholds_until_it_is_back() {
    let mut save = Save::new();
    fs::remove_file(save.folder.path().join("t.yaml")).unwrap();
    save.expect_refused("cannot be read");
    save.in_place(OTHER);
    save.expect_taken(0.1);
}

#[test]
fn poll_waits_longer_for_the_rest_of_a_valid_text_that_may_be_half_a_save() {
    let whole = "default: { review: 0.1, reject: 0.25 }\nproducts:\n  washer: { review: 0.2 }\n  gear: {}\n";
    for half in [
        // Within a line.
        "default: { review: 0.1, reject: 0.25 }\nproducts:\n  washer: { review: 0.2 }",
        // Without a product that had thresholds.
        "default: { review: 0.1, reject: 0.25 }\n",
        "default: { review: 0.1, reject: 0.25 }\nproducts:\n",
        // The beginning of what was there.
        "default: { review: 0.36, reject: 0.42 }\n",
    ] {
        assert!(read(half).is_ok(), "{half}");
        let mut save = Save::new();
        save.in_place(half);
        assert_eq!([(); 3].map(|()| save.watcher.poll()), [None, None, None], "{half}");
        assert_eq!(cuts(&save.watcher.live().current(), "washer"), (0.30, 0.38, 0), "{half}");
        save.in_place(whole);
        save.expect_taken(0.1);
        assert_eq!(cuts(&save.watcher.live().current(), "washer"), (0.2, 0.25, 0), "{half}");
        // One that stays is what somebody meant.
        save.in_place(half);
        assert_eq!([(); 3].map(|()| save.watcher.poll()), [None, None, None], "{half}");
        assert!(matches!(save.watcher.poll(), Some(Change::Taken(_))), "{half}");
        assert_eq!(save.watcher.poll(), None, "reported once");
    }
}

#[test]
fn a_save_is_in_force_within_a_second_whatever_it_looks_like() {
    // The first reading is at most one interval after the save.
    assert!(POLL_EVERY * watch::EQUAL_READINGS_IF_CUT < std::time::Duration::from_secs(1));
}

#[test]
fn reread_takes_a_single_reading_at_its_word_and_says_so_every_time() {
    let mut save = Save::new();
    for (text, review) in [(GOOD, 0.36), (OTHER, 0.1), (OTHER, 0.1)] {
        save.in_place(text);
        let Change::Taken(set) = save.watcher.reread() else { panic!("{text} was refused") };
        assert_eq!((set.for_product(None).review(), save.review()), (score(review), score(review)));
    }
    for _ in 0..2 {
        save.in_place(BAD);
        assert!(matches!(save.watcher.reread(), Change::Refused(_)));
        assert_eq!(save.review(), score(0.1));
    }
    assert_eq!((save.watcher.poll(), save.watcher.poll()), (None, None), "what was told is not told again");
    save.in_place(GOOD);
    save.expect_taken(0.36);
}

#[test]
fn spawn_tells_of_a_reading_that_was_asked_for() {
    let Save { folder, watcher } = Save::new();
    let (changes, received) = std::sync::mpsc::sync_channel(8);
    let watch = watcher.spawn(move |change| changes.send(change).unwrap()).unwrap();
    for _ in 0..2 {
        watch.reread();
        // The file is as it was: nobody but the one who asked could have caused this.
        assert!(matches!(received.recv_timeout(std::time::Duration::from_secs(30)), Ok(Change::Taken(_))));
    }
    drop((watch, folder));
    assert_eq!(received.recv(), Err(std::sync::mpsc::RecvError));
}

#[test]
fn spawn_that_panics_says_that_nobody_watches_any_more() {
    let Save { folder, watcher } = Save::new();
    let (changes, received) = std::sync::mpsc::sync_channel(8);
    let watch = watcher
        .spawn(move |change| match change {
            Change::Taken(_) => panic!("a bug"),
            other => changes.send(other).unwrap(),
        })
        .unwrap();
    watch.reread();
    assert_eq!(received.recv_timeout(std::time::Duration::from_secs(30)), Ok(Change::Unwatched));
    drop((watch, folder));
}

#[test]
fn spawn_takes_saves_over_until_it_is_dropped() {
    let save = Save::new();
    let live = save.watcher.live();
    let (changes, received) = std::sync::mpsc::sync_channel(8);
    let Save { folder, watcher } = save;
    let watch = watcher.spawn(move |change| changes.send(change).unwrap()).unwrap();
    fs::write(folder.path().join("t.yaml"), OTHER).unwrap();
    let change = received.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
    assert!(matches!(change, Change::Taken(_)));
    assert_eq!(live.current().for_product(None).review(), score(0.1));
    drop(watch);
    // The thread is gone, and its end of the channel with it.
    assert_eq!(received.recv(), Err(std::sync::mpsc::RecvError));
}

#[test]
fn open_of_a_faulty_file_reports_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.yaml");
    assert!(
        Watcher::open(&path).unwrap_err()[0]
            .to_string()
            .ends_with("cannot be read: No such file or directory (os error 2)")
    );
    fs::write(&path, BAD).unwrap();
    assert_eq!(Watcher::open(&path).unwrap_err().len(), 1);
}

proptest! {
    #[test]
    fn read_never_panics(text in "\\PC{0,200}|[a-z:\\-\\[\\]{}&*!|>'\"#% \t\n.0-9]{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn read_of_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(text) = text::decode(bytes, &Arc::from("t.yaml")) {
            let _ = read(&text);
        }
    }

    #[test]
    fn read_never_gives_thresholds_out_of_order(review in -0.5..1.5_f64, reject in -0.5..1.5_f64) {
        if let Ok(set) = read(&format!("default: {{ review: {review}, reject: {reject} }}")) {
            let thresholds = set.for_product(None);
            prop_assert!(thresholds.review() <= thresholds.reject() && thresholds.reject().get() <= 1.0);
        }
    }
}

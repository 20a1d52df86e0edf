use std::fs;
use std::path::Path;

use diad_publish::wire::State;

use super::*;
use crate::testing::health;

/// A folder with these pictures, each of its own grey.
fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (grey, file) in (0..).zip(files) {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if file.ends_with("png") {
            image::GrayImage::from_pixel(4, 4, image::Luma([grey])).save(path).unwrap();
        } else {
            fs::write(path, "no picture").unwrap();
        }
    }
    folder
}

fn score(value: f32) -> Score {
    Score::try_new(value).unwrap()
}

#[test]
fn list_finds_good_and_bad_by_product_and_leaves_the_rest_alone() {
    let folder =
        folder(&["washer/good/1.png", "washer/bad/scratch.png", "gear/bad/a.jpg", "gear/notes.txt", "gear/good/b.txt"]);
    let found = list(folder.path()).unwrap();
    let found: Vec<_> =
        found.iter().map(|golden| (golden.name.as_str(), golden.product.as_str(), golden.kind)).collect();
    assert_eq!(
        found,
        [
            ("gear/bad/a.jpg", "gear", Kind::Bad),
            ("washer/good/1.png", "washer", Kind::Good),
            ("washer/bad/scratch.png", "washer", Kind::Bad)
        ]
    );
    let faults: Vec<String> = check(folder.path()).iter().map(|error| chain(error)).collect();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("read gear/bad/a.jpg: "), "{faults:?}");
}

#[test]
fn list_refuses_a_folder_that_cannot_be_used() {
    assert!(matches!(list(Path::new("/nowhere")), Err(GoldenError::Folder { .. })));
    assert!(matches!(list(folder(&["washer/good/a.txt"]).path()), Err(GoldenError::Empty { .. })));
    assert!(matches!(list(folder(&["a b/good/1.png"]).path()), Err(GoldenError::Product { .. })));
    let many: Vec<String> = (0..=folder::MOST_PICTURES).map(|i| format!("washer/good/{i}.jpg")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(matches!(list(folder(&many).path()), Err(GoldenError::Many { found: 201 })));
}

#[test]
fn list_refuses_what_would_not_be_looked_at() {
    for (stray, want) in [
        ("washer/NG/1.png", "washer/NG"),
        ("washer/Good/1.png", "washer/Good"),
        ("washer/bad2/1.png", "washer/bad2"),
        ("washer/good.png", "washer/good.png"),
        ("washer/bad/lot2/1.png", "washer/bad/lot2"),
        ("washer/bad/1.bmp", "washer/bad/1.bmp"),
        ("1.png", "1.png"),
    ] {
        let told = list(folder(&["washer/good/0.png", stray]).path()).unwrap_err().to_string();
        assert!(told.starts_with(&format!("{want} is neither good nor bad; lay pictures out as ")), "{told}");
    }
    let litter =
        ["washer/good/0.png", "washer/bad/1.png", "washer/bad/._1.png", "washer/__MACOSX/1.png", "@eaDir/a/1.png"];
    assert_eq!(list(folder(&litter).path()).unwrap().len(), 2);
}

#[test]
fn without_bad_names_the_products_that_have_none() {
    let of = |files: &[&str]| without_bad(&list(folder(files).path()).unwrap());
    assert_eq!(of(&["washer/good/1.png", "washer/bad/1.png", "gear/bad/1.png"]), None);
    let told = of(&["washer/good/1.png", "washer/good/2.png", "gear/good/1.png", "cap/bad/1.png"]).unwrap();
    assert!(told.starts_with("no bad part of gear, washer: "), "{told}");
}

#[test]
fn wrong_is_a_good_part_that_does_not_pass_and_a_bad_one_that_does() {
    for (kind, answer, want) in [
        (Kind::Good, Ok((Verdict::Pass, score(0.1))), None),
        (Kind::Good, Ok((Verdict::Review, score(0.3))), Some("p.png is REVIEW with score 0.3000, expected PASS")),
        (Kind::Good, Ok((Verdict::Reject, score(0.5))), Some("p.png is REJECT with score 0.5000, expected PASS")),
        (
            Kind::Bad,
            Ok((Verdict::Pass, score(0.1))),
            Some("p.png is PASS with score 0.1000, expected REVIEW or REJECT"),
        ),
        (Kind::Bad, Ok((Verdict::Review, score(0.3))), None),
        (Kind::Bad, Ok((Verdict::Reject, score(0.5))), None),
        (Kind::Bad, Err("torn".to_owned()), Some("p.png was not judged (torn), expected REVIEW or REJECT")),
    ] {
        let product = ProductName::try_new("washer").unwrap();
        let golden = Golden { path: PathBuf::new(), name: "p.png".to_owned(), product, kind };
        assert_eq!(golden.wrong(&answer).as_deref(), want);
    }
}

/// Judges `folder` once with networks that give every part this verdict, or none at all. Gives what is told, and the count.
fn told(folder: &Path, verdict: Option<Verdict>) -> (State, String, GoldenCount) {
    let (health, request) = (health(), GoldenRequest::default());
    let spec = GoldenSpec { folder: folder.to_owned(), every: None, roi: None };
    let (exams, mut proctor) = proctor(spec, request.clone(), health.clone());
    proctor.turn = Duration::from_millis(20);
    let (stop, stopped) = bounded(1);
    std::thread::scope(|scope| {
        scope.spawn(|| proctor.run(&stopped));
        while health.told().0 == State::Starting {
            match verdict.map(|verdict| (verdict, exams.waiting.recv_timeout(Duration::from_millis(1)))) {
                Some((verdict, Ok(exam))) => exam.answer(Ok((verdict, score(0.25)))),
                _ => std::thread::yield_now(),
            }
        }
        stop.send(()).unwrap();
    });
    let (state, detail) = health.told();
    (state, detail, request.judged())
}

#[test]
fn ready_is_said_only_when_all_came_out_right() {
    let good = folder(&["washer/good/1.png", "washer/good/2.png"]);
    let (state, detail, count) = told(good.path(), Some(Verdict::Pass));
    assert_eq!((state, count), (State::Ready, GoldenCount { right: 2, wrong: 0 }));
    assert!(detail.starts_with("golden since ") && detail.contains("no bad part of washer"), "{detail}");
    let whole = folder(&["washer/bad/1.png"]);
    assert_eq!(
        told(whole.path(), Some(Verdict::Reject)),
        (State::Ready, String::new(), GoldenCount { right: 1, wrong: 0 })
    );
    let bad = folder(&["washer/bad/1.png", "washer/bad/2.png", "washer/bad/3.png", "washer/bad/4.png"]);
    for (folder, verdict, wrong, want) in [
        (
            good.path(),
            Some(Verdict::Review),
            2,
            "2 of 2 came out wrong: washer/good/1.png is REVIEW with score 0.2500, expected PASS; washer/good/2.png",
        ),
        (
            bad.path(),
            Some(Verdict::Pass),
            4,
            "washer/bad/2.png is PASS with score 0.2500, expected REVIEW or REJECT; and 2 more",
        ),
        (bad.path(), None, 0, "parts left no time for 0 s: 0 of 4 judged"),
        (Path::new("/nowhere"), None, 0, "not judged: list folder /nowhere: No such file"),
    ] {
        let (state, detail, count) = told(folder, verdict);
        assert_eq!((state, count), (State::Degraded, GoldenCount { right: 0, wrong }));
        assert!(detail.starts_with("golden since ") && detail.contains(want), "{detail}");
    }
}

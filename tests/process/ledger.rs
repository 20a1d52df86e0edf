//! `diad ledger` over ledgers of every kind: sound, damaged, foreign, in use, none at all.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime};

use diad_core::event::{Judgement, Outcome, Reason};
use diad_core::frame::Roi;
use diad_core::judge::{Thresholds, Verdict};
use diad_core::name::{CameraId, LineName, PartId, ProductName, RunId, StationName};
use diad_core::score::Score;
use diad_ledger::{Gap, Key, Ledger, Moment, Recorded, Row, RowId, RowProvenance, Sent, Series, Timings};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;

use super::station::{diad, micro};

/// 2026-01-01T08:00:00Z.
const START_MICROS: i64 = 1_767_254_400_000_000;

/// A folder with a ledger, and the command that reads it.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn ledger(&self) -> PathBuf {
        self.at("ledger.sqlite3")
    }

    fn open(&self) -> Ledger {
        Ledger::open(&self.ledger()).unwrap()
    }

    /// `diad ledger WORDS… --ledger …`.
    fn run(&self, words: &[&str]) -> Output {
        run(words, &self.ledger())
    }

    fn export(&self, name: &str, more: &[&str]) -> Output {
        let out = self.at(name).display().to_string();
        self.run(&[&["export", "--out", &out], more].concat())
    }
}

fn run(words: &[&str], ledger: &Path) -> Output {
    diad().arg("ledger").args(words).arg("--ledger").arg(ledger).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Fails with what was said unless the exit code is `code`.
fn expect(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}\n{}", stdout(output), stderr(output));
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn judged(verdict: Verdict) -> Outcome {
    let score = |value| Score::try_new(value).unwrap();
    let value = match verdict {
        Verdict::Pass => 0.125,
        Verdict::Review => 0.375,
        Verdict::Reject => 0.75,
    };
    Outcome::Judged(Judgement {
        verdict,
        score: score(value),
        thresholds: Thresholds::try_new(score(0.25), score(0.5), 0).unwrap(),
        region: Roi { x: 1, y: 2, width: 32, height: 32 },
    })
}

fn series(run: &RunId) -> Series {
    Series {
        line: LineName::try_new("L1").unwrap(),
        station: StationName::try_new("S1").unwrap(),
        camera: CameraId::try_new("cam0").unwrap(),
        run: run.clone(),
    }
}

/// A part captured `seq` seconds after the start.
fn row(run: &RunId, seq: u64, outcome: Outcome) -> Row {
    let captured = START_MICROS + seq.cast_signed() * 1_000_000;
    Row {
        key: Key { series: series(run), seq },
        part: PartId::try_new(&format!("P-{seq:05}")).ok(),
        product: ProductName::try_new("washer").ok(),
        source: None,
        outcome,
        captured: Moment::from_micros(captured),
        judged: Moment::from_micros(captured + 40_000),
        latency: Duration::from_millis(40),
        deadline_ms: 200,
        origin: RowProvenance { model: [1; 32], thresholds: [2; 32], settings: [3; 32] },
        timings: Timings::NONE,
        repeat: false,
        witnesses: Vec::new(),
    }
}

fn start_run(ledger: &mut Ledger) -> RunId {
    let now = SystemTime::UNIX_EPOCH + Duration::from_micros(START_MICROS.unsigned_abs());
    ledger.start_run(&LineName::try_new("L1").unwrap(), &StationName::try_new("S1").unwrap(), now).unwrap()
}

fn sent(recorded: &[Recorded]) -> Vec<Sent> {
    let id = |recorded: &Recorded| -> RowId {
        match recorded {
            Recorded::First(id) | Recorded::Again(id) | Recorded::Late(id) => *id,
        }
    };
    recorded.iter().map(|recorded| Sent { row: id(recorded), at: Moment::from_micros(START_MICROS) }).collect()
}

/// Reasons on record; of the others there is no part.
const REASONS: [Reason; 6] =
    [Reason::Overrun, Reason::Deadline, Reason::Camera, Reason::Frame, Reason::Product, Reason::Trigger];

/// Parts 1 to 5 acknowledged, 1 and 2 of them deleted since; 3 to 5 judged, one of each kind; 6 to 11 unjudged, one of
/// each of [`REASONS`], 6 with a late result; 12 and 13 on record as a gap; 14 passed.
fn fill(ledger: &mut Ledger) {
    let run = start_run(ledger);
    let mut rows = vec![
        row(&run, 1, judged(Verdict::Pass)),
        row(&run, 2, judged(Verdict::Pass)),
        row(&run, 3, judged(Verdict::Pass)),
        row(&run, 4, judged(Verdict::Review)),
        row(&run, 5, judged(Verdict::Reject)),
    ];
    let recorded = ledger.record(&rows).unwrap();
    ledger.mark_sent(&sent(&recorded)).unwrap();
    rows = (6..).zip(REASONS).map(|(seq, reason)| row(&run, seq, Outcome::Unjudged(reason))).collect();
    rows.push(row(&run, 6, judged(Verdict::Pass)));
    rows.push(row(&run, 14, judged(Verdict::Pass)));
    ledger.record(&rows).unwrap();
    let at = Moment::from_micros(START_MICROS + 13_000_000);
    let gap = Gap { series: series(&run), from: 12, to: 13, parts: 2, since: at, until: at, cause: "disk full".into() };
    ledger.record_gaps(&[gap]).unwrap();
    assert_eq!(ledger.purge(Moment::from_micros(START_MICROS + 3_000_000), 100).unwrap(), 2);
}

pub fn filled() -> Place {
    let place = Place::new();
    fill(&mut place.open());
    place
}

/// A ledger with many acknowledged parts of the last hours, their scores spread from 0 to 1.
pub fn prefill(path: &Path, parts: u64) {
    let mut ledger = Ledger::open(path).unwrap();
    let run = start_run(&mut ledger);
    let now = Moment::from(SystemTime::now()).micros();
    let score = |value| Score::try_new(value).unwrap();
    for batch in (1..=parts).collect::<Vec<_>>().chunks(1000) {
        let rows: Vec<_> = batch
            .iter()
            .map(|&seq| {
                let value = (seq % 1000) as f32 / 1000.0;
                let judgement = Judgement {
                    verdict: if value >= 0.5 { Verdict::Reject } else { Verdict::Pass },
                    score: score(value),
                    thresholds: Thresholds::try_new(score(0.5), score(0.5), 0).unwrap(),
                    region: Roi { x: 1, y: 2, width: 32, height: 32 },
                };
                let captured = Moment::from_micros(now - (parts - seq).cast_signed() * 10_000);
                Row { captured, judged: captured, ..row(&run, seq, Outcome::Judged(judgement)) }
            })
            .collect();
        let recorded = ledger.record(&rows).unwrap();
        ledger.mark_sent(&sent(&recorded)).unwrap();
    }
}

/// 2,000 parts that passed.
fn long() -> Place {
    let place = Place::new();
    let mut ledger = place.open();
    let run = start_run(&mut ledger);
    let rows: Vec<_> = (1..=2000).map(|seq| row(&run, seq, judged(Verdict::Pass))).collect();
    ledger.record(&rows).unwrap();
    drop(ledger);
    place
}

/// Changes the bytes of a ledger that nobody has open. SQLite leaves no log behind then, so they are all there.
fn patch(place: &Place, change: impl FnOnce(&mut Vec<u8>)) {
    assert!(!place.at("ledger.sqlite3-wal").exists());
    let mut bytes = fs::read(place.ledger()).unwrap();
    change(&mut bytes);
    fs::write(place.ledger(), bytes).unwrap();
}

fn find(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap()
}

/// Makes the mark of part 4 another one: the row reads as well as before, and is not what was written.
fn damage(place: &Place) {
    patch(place, |bytes| {
        let at = find(bytes, "P-00004");
        bytes[at + 6] = b'9';
    });
}

/// The cells of a CSV file: its head, and a line for every part.
fn csv(text: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let line = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect::<Vec<_>>();
    let head = line(reader.headers().unwrap());
    (head, reader.records().map(|record| line(&record.unwrap())).collect())
}

fn column(table: &(Vec<String>, Vec<Vec<String>>), name: &str) -> Vec<String> {
    let at = table.0.iter().position(|column| column == name).unwrap();
    table.1.iter().map(|line| line[at].clone()).collect()
}

fn expect_stats(stats: &Value) {
    for (name, want) in [
        ("runs", 1),
        ("parts", 10),
        ("unreadable", 0),
        ("unsent", 7),
        ("late", 1),
        ("gaps", 1),
        ("missed", 2),
        ("purged", 2),
    ] {
        assert_eq!(stats[name], want, "{name}: {stats}");
    }
    assert_eq!(stats["verdicts"], serde_json::json!({ "PASS": 2, "REVIEW": 1, "REJECT": 1, "UNJUDGED": 6 }));
    for reason in Reason::ALL {
        assert_eq!(stats["reasons"][reason.as_str()], i32::from(REASONS.contains(&reason)), "{stats}");
    }
    assert_eq!(stats["first_captured_at"], "2026-01-01T08:00:03.000000Z");
    assert_eq!(stats["last_captured_at"], "2026-01-01T08:00:14.000000Z");
    assert!(stats["bytes"].as_u64().unwrap() > 4096);
}

#[test]
fn stats_count_every_kind_also_while_the_ledger_is_written() {
    let place = filled();
    let output = place.run(&["stats", "--json"]);
    expect(&output, 0);
    expect_stats(&json(&output));
    assert_eq!(stderr(&output), "");

    let mut ledger = place.open();
    let run = start_run(&mut ledger);
    ledger.record(&[row(&run, 1, judged(Verdict::Pass))]).unwrap();
    let output = place.run(&["stats"]);
    expect(&output, 0);
    let text = stdout(&output);
    let value = |name: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.trim_start()[name.len()..].trim().to_owned()
    };
    assert_eq!((value("runs"), value("parts")), ("2".to_owned(), "11".to_owned()), "{text}");
    assert!(value("PASS").starts_with("3 ") && value("deadline").starts_with("1 "), "{text}");
    assert_eq!(value("gaps"), "1, 2 parts without a row");
    expect(&place.run(&["verify"]), 0);
}

#[test]
fn export_to_csv_has_a_line_for_every_verdict() {
    let place = filled();
    let output = place.run(&["export"]);
    expect(&output, 0);
    assert_eq!(stderr(&output), "");
    let table = csv(stdout(&output));
    let seqs: Vec<_> = (3..=11).chain([14]).map(|seq: u64| seq.to_string()).collect();
    assert_eq!(column(&table, "seq"), seqs);
    let verdicts = column(&table, "verdict");
    assert_eq!(verdicts[..4], ["PASS", "REVIEW", "REJECT", "UNJUDGED"]);
    let reasons = column(&table, "reason");
    assert_eq!(reasons[3..9], REASONS.map(|reason| reason.as_str().to_owned()));
    assert_eq!(column(&table, "score")[..4], ["0.125", "0.375", "0.75", ""]);
    assert_eq!(column(&table, "part")[1], "P-00004");
    assert_eq!(column(&table, "captured_at")[0], "2026-01-01T08:00:03.000000Z");

    // The same in a file.
    let output = place.export("out.csv", &[]);
    expect(&output, 0);
    assert!(stdout(&output).ends_with("out.csv: 10 verdicts\n"), "{}", stdout(&output));
    assert_eq!(csv(&fs::read_to_string(place.at("out.csv")).unwrap()), table);
}

#[test]
fn export_takes_the_parts_of_a_stretch_of_time() {
    let place = filled();
    for (more, want) in [
        (&["--since", "2026-01-01T08:00:05Z"][..], 8),
        (&["--until", "2026-01-01T08:00:05Z"], 2),
        (&["--since", "2026-01-01T09:00:05+01:00", "--until", "2026-01-01T08:00:05.000001Z"], 1),
        (&["--since", "2026-01-01", "--until", "2026-01-02"], 10),
        (&["--since", "2026-01-02"], 0),
    ] {
        let output = place.run(&[&["export"], more].concat());
        expect(&output, 0);
        assert_eq!(csv(stdout(&output)).1.len(), want, "{more:?}");
    }
    expect(&place.run(&["export", "--since", "2026-01-02", "--until", "2026-01-01"]), 64);
    expect(&place.run(&["export", "--since", "noon"]), 64);
}

#[test]
fn export_to_parquet_reads_back_while_the_ledger_is_written() {
    let place = Place::new();
    let mut ledger = place.open();
    fill(&mut ledger);
    let output = place.export("out.parquet", &["--json"]);
    expect(&output, 0);
    let said = json(&output);
    assert_eq!((&said["rows"], &said["format"]), (&10.into(), &"parquet".into()));
    assert_eq!((&said["whole"], &said["damaged"]["total"]), (&true.into(), &0.into()));
    drop(ledger);
    let reader = SerializedFileReader::new(File::open(place.at("out.parquet")).unwrap()).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 10);
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    let cell = |row: usize, name: &str| {
        let (_, field) = rows[row].get_column_iter().find(|(column, _)| *column == name).unwrap();
        field.clone()
    };
    let text = |text: &str| Field::Str(text.to_owned());
    assert_eq!(
        (cell(0, "seq"), cell(0, "verdict"), cell(0, "score")),
        (Field::ULong(3), text("PASS"), Field::Float(0.125))
    );
    assert_eq!((cell(3, "reason"), cell(3, "score")), (text("overrun"), Field::Null));
    assert_eq!(
        (cell(9, "part"), cell(9, "captured_at")),
        (text("P-00014"), Field::TimestampMicros(START_MICROS + 14_000_000))
    );
}

#[test]
fn export_replaces_a_file_only_when_told_to_and_never_leaves_half_of_one() {
    let place = filled();
    fs::write(place.at("out.csv"), "mine").unwrap();
    let output = place.export("out.csv", &[]);
    expect(&output, 64);
    assert!(stderr(&output).contains("--force"), "{}", stderr(&output));
    assert_eq!(fs::read(place.at("out.csv")).unwrap(), b"mine");
    expect(&place.export("out.csv", &["--force"]), 0);
    assert_eq!(csv(&fs::read_to_string(place.at("out.csv")).unwrap()).1.len(), 10);
    // What the name does not say, and what would cost the ledger.
    expect(&place.export("out", &[]), 64);
    expect(&place.export("ledger.sqlite3", &["--format", "csv", "--force"]), 64);
    expect(&place.run(&["export", "--format", "parquet"]), 64);
    expect(&place.export("no/such/folder.csv", &[]), 74);
    expect(&place.run(&["verify"]), 0);
    let mut names: Vec<_> =
        fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| !name.to_string_lossy().starts_with("ledger.sqlite3"));
    assert_eq!(names, ["out.csv"]);
}

#[test]
fn export_ends_quietly_when_its_reader_hangs_up_and_loudly_on_a_full_disk() {
    let place = long();
    let mut command = diad();
    command.args(["ledger", "export", "--ledger"]).arg(place.ledger());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut first).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    expect(&output, 0);
    assert!(first.starts_with("line,station,camera,run,seq,"), "{first}");
    assert_eq!(stderr(&output), "");

    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for words in [&["export"][..], &["stats"], &["verify", "--json"]] {
        let output =
            diad().arg("ledger").args(words).arg("--ledger").arg(place.ledger()).stdout(full()).output().unwrap();
        expect(&output, 74);
    }
}

#[test]
fn verify_finds_a_sound_ledger_sound_and_says_what_is_on_record() {
    let place = filled();
    let output = place.run(&["verify"]);
    expect(&output, 0);
    let text = stdout(&output);
    assert!(text.contains("10 verdicts and 1 late result read"), "{text}");
    assert!(text.contains("unsent: 7 verdicts"), "{text}");
    let unjudged = "unjudged: 6 parts, 1 overrun, 1 deadline, 1 camera, 1 frame, 1 product, 1 trigger\n";
    assert!(text.contains(unjudged), "{text}");
    assert!(text.contains("gap on record: 2 parts of L1/S1/cam0/") && text.contains(": disk full\n"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("sound: "), "{text}");
    let document = json(&place.run(&["verify", "--json"]));
    assert_eq!((&document["sound"], &document["unsent"]), (&true.into(), &7.into()));
    assert_eq!(document["gaps"][0]["cause"], "disk full");
}

#[test]
fn verify_finds_missing_parts() {
    let place = Place::new();
    let mut ledger = place.open();
    let run = start_run(&mut ledger);
    let rows: Vec<_> = [1, 2, 5, 6].map(|seq| row(&run, seq, judged(Verdict::Pass))).into();
    ledger.record(&rows).unwrap();
    drop(ledger);
    let output = place.run(&["verify"]);
    expect(&output, 65);
    let text = stdout(&output);
    assert!(text.contains(&format!("missing: 2 parts of L1/S1/cam0/{run}, numbers 3 to 4\n")), "{text}");
    assert!(text.ends_with("NOT SOUND: 2 missing parts\n"), "{text}");
    let document = json(&place.run(&["verify", "--json"]));
    assert_eq!((&document["sound"], &document["missing"]["total"]), (&false.into(), &1.into()));
}

#[test]
fn damaged_row_is_named_counted_and_left_out() {
    let place = filled();
    damage(&place);
    let output = place.run(&["verify"]);
    expect(&output, 65);
    let text = stdout(&output);
    assert!(text.contains("damaged: row 4 of table parts is damaged: its values have checksum "), "{text}");
    assert!(text.ends_with("NOT SOUND: 1 damaged row\n"), "{text}");

    for name in ["out.csv", "out.parquet"] {
        let output = place.export(name, &["--json"]);
        expect(&output, 65);
        let said = json(&output);
        assert_eq!((&said["rows"], &said["damaged"]["total"]), (&9.into(), &1.into()), "{said}");
        assert!(stderr(&output).contains("row 4 of table parts"), "{}", stderr(&output));
        assert!(stderr(&output).contains("diad: 1 damaged row left out"), "{}", stderr(&output));
    }
    let table = csv(&fs::read_to_string(place.at("out.csv")).unwrap());
    assert_eq!(column(&table, "verdict")[..2], ["PASS", "REJECT"]);
    let output = place.run(&["export"]);
    expect(&output, 65);
    assert_eq!(csv(stdout(&output)), table);
}

/// Damage of the schema and of texts is damage: never a bug of the program, whoever reads.
#[test]
fn damage_of_schema_and_texts_is_bad_data_in_the_same_words() {
    let thresholds = |place: &Place| {
        let path = place.at("thresholds.yaml");
        fs::write(&path, "default: { review: 0.2, reject: 0.4 }\n").unwrap();
        path
    };
    for (text, byte) in [
        // No such column, no such table, no index for the question, a statement that cannot be read.
        ("reason TEXT", b'q'),
        ("parts (\n    id INTEGER", b'q'),
        ("acknowledged_us IS NULL", b'q'),
        ("TABLE series", b'q'),
        // A part's mark that is no text.
        ("P-00004", 0xff),
    ] {
        let place = filled();
        patch(&place, |bytes| {
            // Free pages may hold earlier copies.
            let copies = bytes.windows(text.len()).enumerate().filter(|(_, window)| *window == text.as_bytes());
            for at in copies.map(|(at, _)| at).collect::<Vec<_>>() {
                bytes[at] = byte;
            }
        });
        let mut runs: Vec<(String, Output)> = [&["verify"][..], &["export"], &["verify", "--json"]]
            .into_iter()
            .map(|words| (format!("{words:?}"), place.run(words)))
            .collect();
        let of = ["--thresholds", &thresholds(&place).display().to_string()].map(str::to_owned);
        let whatif = diad().arg("whatif").args(of).arg("--ledger").arg(place.ledger()).output().unwrap();
        let stats = place.run(&["stats"]);
        for output in [&whatif, &stats] {
            // One damaged row is left out and counted.
            assert!([0, 65].map(Some).contains(&output.status.code()), "{text}: {}", stderr(output));
        }
        runs.extend([("whatif".to_owned(), whatif), ("stats".to_owned(), stats)]);
        for (words, output) in runs.into_iter().filter(|(_, output)| output.status.code() != Some(0)) {
            assert_eq!(output.status.code(), Some(65), "{text}: {words}: {}", stderr(&output));
            let said = stderr(&output);
            let names = ["is damaged; move it aside together with", "is not sound", "damaged row left out"];
            assert!(names.iter().any(|words| said.contains(words)), "{text}: {words}: {said}");
        }
        expect(&place.run(&["verify"]), 65);
    }
}

#[test]
fn export_of_a_torn_ledger_saves_what_comes_before() {
    let place = long();
    patch(&place, |bytes| {
        // A page is 4,096 bytes; the one with this part cannot be read any more.
        let page = find(bytes, "P-01500") / 4096 * 4096;
        bytes[page..page + 4096].fill(0xff);
    });
    for name in ["out.csv", "out.parquet"] {
        let output = place.export(name, &["--json"]);
        expect(&output, 65);
        let said = json(&output);
        assert_eq!(said["whole"], false);
        let rows = said["rows"].as_u64().unwrap();
        assert!((512..1500).contains(&rows), "{said}");
        assert!(stderr(&output).contains(&format!("export ends early, after {rows} verdicts")), "{}", stderr(&output));
        if name == "out.csv" {
            assert_eq!(csv(&fs::read_to_string(place.at(name)).unwrap()).1.len() as u64, rows);
        } else {
            let reader = SerializedFileReader::new(File::open(place.at(name)).unwrap()).unwrap();
            assert_eq!(reader.metadata().file_metadata().num_rows().unsigned_abs(), rows);
        }
    }
    expect(&place.run(&["verify"]), 65);
}

#[test]
fn empty_ledger_is_sound_and_exports_a_head_alone() {
    let place = Place::new();
    drop(place.open());
    let output = place.run(&["stats", "--json"]);
    expect(&output, 0);
    assert_eq!((&json(&output)["parts"], &json(&output)["first_captured_at"]), (&0.into(), &Value::Null));
    let output = place.run(&["export"]);
    expect(&output, 0);
    assert_eq!(stdout(&output).lines().count(), 1);
    expect(&place.export("out.parquet", &[]), 0);
    expect(&place.run(&["verify"]), 0);
}

#[test]
fn what_is_no_ledger_ends_with_bad_data_and_says_what_to_do() {
    let place = Place::new();
    fs::write(place.at("text"), "this is not a database\n".repeat(100)).unwrap();
    fs::write(place.at("empty"), "").unwrap();
    let header = |name: &str, at: usize, value: u32| {
        let other = filled();
        patch(&other, |bytes| bytes[at..at + 4].copy_from_slice(&value.to_be_bytes()));
        fs::copy(other.ledger(), place.at(name)).unwrap();
    };
    // Where SQLite keeps the version and the owner of a database.
    header("newer", 60, 1_000_000);
    header("foreign", 68, 7);
    for (name, says) in [
        ("missing", "no ledger at"),
        ("text/below", "no ledger at"),
        (".", "not a file; name the database file"),
        ("text", "is damaged; move it aside"),
        ("empty", "has schema 0"),
        ("newer", "has schema 1000000"),
        ("foreign", "database of another program"),
    ] {
        for words in [&["stats"][..], &["export"], &["verify", "--json"]] {
            let output = run(words, &place.at(name));
            expect(&output, 65);
            assert!(stderr(&output).contains(says), "{name}: {}", stderr(&output));
            assert_eq!(stdout(&output), "", "{name}");
        }
    }
    // Nothing was made or changed by looking.
    assert!(!place.at("missing").exists());
    assert_eq!(fs::metadata(place.at("empty")).unwrap().len(), 0);
}

#[test]
fn ledger_that_cannot_be_looked_for_is_a_matter_of_the_disk() {
    let place = Place::new();
    std::os::unix::fs::symlink("loop", place.at("loop")).unwrap();
    let output = run(&["stats"], &place.at("loop"));
    expect(&output, 74);
    assert!(stderr(&output).contains("look for ledger"), "{}", stderr(&output));
}

#[test]
fn settings_and_variables_say_where_the_ledger_is() {
    let place = filled();
    fs::write(place.at("thresholds.yaml"), "default: { review: 0.2, reject: 0.4 }\n").unwrap();
    let settings = format!(
        "line: L1\nstation: S1\ncameras:\n  - {{ id: cam0, source: {{ kind: rendered }}, trigger: {{ kind: mqtt }} }}\n\
         thresholds: {}\nengine: {{ model: {} }}\nledger: {{ path: {} }}\n",
        place.at("thresholds.yaml").display(),
        micro().display(),
        place.ledger().display(),
    );
    fs::write(place.at("diad.yaml"), &settings).unwrap();
    let by_settings =
        |name: &str| diad().args(["ledger", "stats", "--json", "--config"]).arg(place.at(name)).output().unwrap();
    let output = by_settings("diad.yaml");
    expect(&output, 0);
    expect_stats(&json(&output));

    fs::write(place.at("bad.yaml"), settings.replace("path:", "pfad:")).unwrap();
    let output = by_settings("bad.yaml");
    expect(&output, 78);
    assert!(stderr(&output).contains("bad.yaml:7:"), "{}", stderr(&output));

    let output = diad().args(["ledger", "stats", "--json"]).env("DIAD__LEDGER__PATH", place.ledger()).output().unwrap();
    expect(&output, 0);
    expect_stats(&json(&output));
    expect(&place.run(&["stats", "--config", "diad.yaml"]), 64);
}

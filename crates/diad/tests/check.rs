//! `diad` from outside: exit codes, and what goes to standard output.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const STATION: &str = "\
line: L1
station: S1
cameras:
  - id: cam0
    source: { kind: rendered }
    trigger: { kind: mqtt }
thresholds: thresholds.yaml
engine: { model: model }
";
const THRESHOLDS: &str = "default: { review: 0.3, reject: 0.4 }\n";

fn diad(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diad"));
    command.current_dir(folder).args(arguments).env_clear();
    command.output().unwrap()
}

fn station(settings: &str, thresholds: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("diad.yaml"), settings).unwrap();
    fs::write(folder.path().join("thresholds.yaml"), thresholds).unwrap();
    folder
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn usage_errors_exit_64_and_help_exits_0() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, code) in [
        (&[][..], 64),
        (&["fly"], 64),
        (&["check"], 64),
        (&["check", "--config", "a", "--loud"], 64),
        (&["--help"], 0),
        (&["check", "--help"], 0),
        (&["--version"], 0),
    ] {
        assert_eq!(diad(folder.path(), arguments).status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn check_of_a_missing_bundle_exits_65() {
    let folder = station(STATION, THRESHOLDS);
    let output = diad(folder.path(), &["check", "--config", "diad.yaml"]);
    assert_eq!(output.status.code(), Some(65));
    let fault = "diad.yaml:8:18: engine.model: model folder model does not exist";
    assert!(stdout(&output).starts_with(fault), "{}", stdout(&output));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "diad: 1 fault\n");
}

#[test]
fn check_lists_the_faults_of_every_file_and_exits_78() {
    let folder = station(&STATION.replace("L1", "3"), &THRESHOLDS.replace("0.3", ".nan"));
    let output = diad(folder.path(), &["check", "--config", "diad.yaml"]);
    assert_eq!(output.status.code(), Some(78));
    let lines = stdout(&output);
    // Where the state folder of the service is not there yet, a notice follows the faults.
    let lines: Vec<_> = lines.lines().filter(|line| !line.starts_with("notice: ledger.path: ")).collect();
    assert_eq!(lines[0], "diad.yaml:1:7: line: 3 is a number, allowed: text; put it into quotes");
    assert_eq!(lines[1], "thresholds.yaml:1:20: default.review: is not a number (NaN), allowed: a number from 0 to 1");
    assert!(lines[2].starts_with("diad.yaml:8:18: engine.model: "), "{}", lines[2]);
    assert_eq!(lines.len(), 3);

    // A station that does not start says the same, whatever the log leaves out.
    let mut command = Command::new(env!("CARGO_BIN_EXE_diad"));
    command.current_dir(folder.path()).args(["run", "--config", "diad.yaml"]).env_clear().env("DIAD_LOG", "off");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().collect::<Vec<_>>(), [&lines[..], &["diad: 3 faults"]].concat());
}

#[test]
fn check_names_the_place_of_a_thresholds_file_that_is_not_there() {
    let folder = station(STATION, THRESHOLDS);
    fs::remove_file(folder.path().join("thresholds.yaml")).unwrap();
    let output = diad(folder.path(), &["check", "--config", "diad.yaml"]);
    assert_eq!(output.status.code(), Some(78));
    let fault = "diad.yaml:7:13: thresholds: thresholds.yaml cannot be read: No such file";
    assert!(stdout(&output).starts_with(fault), "{}", stdout(&output));
}

#[test]
fn check_and_run_refuse_more_steps_than_the_bundle_can_take() {
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../diad_engine/tests/fixtures/micro");
    let engine = format!("engine: {{ model: {}, steps: 1000 }}", bundle.display());
    let folder = station(&STATION.replace("engine: { model: model }", &engine), THRESHOLDS);
    for command in ["check", "run"] {
        let output = diad(folder.path(), &[command, "--config", "diad.yaml"]);
        assert_eq!(output.status.code(), Some(78), "{command}");
        let said = format!("{}{}", stdout(&output), String::from_utf8(output.stderr).unwrap());
        assert!(said.contains(": engine.steps: use 1000 denoising steps; this model takes "), "{command}: {said}");
    }
}

#[test]
fn check_names_golden_parts_that_cannot_be_judged() {
    let folder = station(&format!("{STATION}golden: {{ folder: golden }}\n"), THRESHOLDS);
    let faults = || {
        let output = diad(folder.path(), &["check", "--config", "diad.yaml"]);
        assert_eq!(output.status.code(), Some(78));
        stdout(&output).lines().next().unwrap().to_owned()
    };
    assert!(faults().starts_with("diad.yaml:9:19: golden.folder: list folder golden: No such file"), "{}", faults());
    fs::create_dir_all(folder.path().join("golden/washer/bad")).unwrap();
    assert!(faults().contains("golden.folder: no picture in golden; lay them out as"), "{}", faults());
    fs::write(folder.path().join("golden/washer/bad/a.png"), "no picture").unwrap();
    assert!(faults().contains("golden.folder: read washer/bad/a.png: "), "{}", faults());
}

#[test]
fn check_names_every_place_that_is_not_there() {
    let camera = "source: { kind: replay, folder: pictures }";
    let settings = STATION.replace("source: { kind: rendered }", camera);
    let settings = settings.replace("{ model: model }", "{ model: model, library: none.so, foundations: none }");
    let folder = station(&format!("{settings}ledger: {{ path: state/ledger.sqlite3 }}\n"), THRESHOLDS);
    let faults = || {
        let output = diad(folder.path(), &["check", "--config", "diad.yaml"]);
        (output.status.code(), stdout(&output))
    };
    let (code, said) = faults();
    assert_eq!(code, Some(78), "{said}");
    let remedy = "allowed: a place that is there: correct the path, make it, or mount what belongs there";
    for fault in [
        "diad.yaml:5:37: cameras[0].source.folder: open camera pictures: list folder pictures;",
        "diad.yaml:8:34: engine.library: library none.so cannot be found: No such file",
        "diad.yaml:8:56: engine.foundations: folder none cannot be listed: No such file",
        "diad.yaml:9:17: ledger.path: folder state of the ledger and of its pictures cannot be used: No such file",
    ] {
        let line =
            said.lines().find(|line| line.starts_with(fault)).unwrap_or_else(|| panic!("no {fault:?} in\n{said}"));
        assert!(line.ends_with(remedy), "{line}");
    }

    // Something is there, and it is not what is meant.
    for name in ["pictures", "state", "none"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    fs::create_dir(folder.path().join("none.so")).unwrap();
    let (_, said) = faults();
    assert_eq!(said.matches("Not a directory").count() + said.matches("not a directory").count(), 3, "{said}");
    assert!(said.contains("library none.so is not a file"), "{said}");

    // A mount that is gone leaves an empty folder.
    for name in ["pictures", "state"] {
        fs::remove_file(folder.path().join(name)).unwrap();
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let (_, said) = faults();
    assert!(
        said.contains("cameras[0].source.folder: open camera pictures: no PNG or JPEG file under pictures"),
        "{said}"
    );
    assert!(!said.contains("ledger.path"), "{said}");
    fs::create_dir(folder.path().join("state/ledger.sqlite3")).unwrap();
    assert!(
        faults().1.contains("ledger.path: state/ledger.sqlite3 is a folder, allowed: the file of the ledger in it")
    );
}

#[test]
fn check_lets_the_folder_that_the_service_makes_be_missing() {
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../diad_engine/tests/fixtures/micro");
    let settings = STATION.replace("model: model", &format!("model: {}", bundle.display()));
    let folder = station(&format!("{settings}ledger: {{ path: /var/lib/diad/ledger.sqlite3 }}\n"), THRESHOLDS);
    let output = diad(folder.path(), &["check", "--config", "diad.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let there = Path::new("/var/lib/diad").exists();
    assert!(there || stdout(&output).contains("notice: ledger.path: folder /var/lib/diad is not there yet; "));
}

#[test]
fn check_tells_what_has_changed_and_what_nobody_knows() {
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../diad_engine/tests/fixtures/micro");
    let station_of = |more: &str, thresholds: &str| {
        let settings = STATION.replace("model: model", &format!("model: {}", bundle.display()));
        let folder = station(&format!("{settings}ledger: {{ path: ledger.sqlite3 }}\n{more}"), thresholds);
        for (name, grey) in [("washer/bad", 1), ("Washer/good", 2)] {
            let path = folder.path().join("golden").join(name);
            fs::create_dir_all(&path).unwrap();
            image::GrayImage::from_pixel(4, 4, image::Luma([grey])).save(path.join("1.png")).unwrap();
        }
        let output = diad(folder.path(), &["check", "--config", "diad.yaml"]);
        assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
        stdout(&output).lines().filter_map(|line| Some(line.strip_prefix("notice: ")?.to_owned())).collect::<Vec<_>>()
    };
    let named = format!("{THRESHOLDS}products: {{ fabric: {{ review: 0.1 }} }}\n");
    let unsaid = station_of("", &named);
    assert_eq!(unsaid.len(), 1, "{unsaid:?}");
    assert!(unsaid[0].starts_with("on_unknown_product is not set: ") && unsaid[0].contains("UNJUDGED(product)"));
    for said in ["unjudged", "default"] {
        assert!(station_of(&format!("on_unknown_product: {said}\n"), &named).is_empty());
    }
    assert!(station_of("", THRESHOLDS).is_empty(), "thresholds that name no product judge all of them");
    let golden = station_of("on_unknown_product: default\ngolden: { folder: golden }\n", &named);
    assert!(golden[0].starts_with("golden: no bad part of Washer: "), "{golden:?}");
    assert!(golden[1].contains("product Washer is named neither") && golden[1].ends_with("They differ in case alone"));
    assert_eq!(golden.len(), 2);
}

#[test]
fn check_with_json_prints_one_document_with_every_fault() {
    let folder = station(&format!("{STATION}deadline_ms: 0\n"), THRESHOLDS);
    let output = diad(folder.path(), &["check", "--config", "diad.yaml", "--json"]);
    assert_eq!(output.status.code(), Some(78));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["ok"], false);
    assert_eq!(
        document["faults"][0],
        serde_json::json!({"file": "diad.yaml", "line": 9, "column": 14, "path": "deadline_ms",
            "message": "0 is out of range", "allowed": "a whole number from 1 to 60000"})
    );
    assert_eq!(document["faults"][1]["path"], "engine.model");
    assert_eq!(document["faults"][1]["line"], 8);
    assert_eq!(document["faults"].as_array().unwrap().len(), 2);
    assert!(document["digests"]["thresholds"].as_str().unwrap().starts_with("sha256:"));
    assert!(document["digests"]["settings"].is_null());
}

#[test]
fn check_takes_variables_of_the_environment() {
    let folder = station(STATION, THRESHOLDS);
    let mut command = Command::new(env!("CARGO_BIN_EXE_diad"));
    command.current_dir(folder.path()).args(["check", "--config", "diad.yaml"]).env("DIAD__DEADLINE_MS", "soon");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(stdout(&output).starts_with("environment DIAD__DEADLINE_MS: deadline_ms: \"soon\" is text"));
}

#[test]
fn check_into_a_closed_pipe_is_no_panic() {
    let folder = station(STATION, THRESHOLDS);
    let mut command = Command::new(env!("CARGO_BIN_EXE_diad"));
    command.current_dir(folder.path()).args(["check", "--config", "diad.yaml"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer).stderr(Stdio::piped());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(65));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "diad: 1 fault\n");
}

#[test]
fn a_log_filter_that_is_none_exits_64() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diad"));
    command.args(["check", "--config", "none"]).env("DIAD_LOG", "info=loud=x");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(64));
}

/// The names that a help lists under `Commands:`, but for `help` itself.
fn commands(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

#[test]
fn reference_of_the_command_line_holds_the_help_of_every_command() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let reference = fs::read_to_string(root.join("docs/reference/cli.md")).unwrap();
    let help = |words: &[&str]| stdout(&diad(&root, &[words, &["--help"]].concat()));
    let check = |words: &[&str]| {
        let section = format!("## diad {}\n\n```text\n{}```\n", words.join(" "), help(words));
        let remedy = "run scripts/cli_reference.sh target/debug/diad > docs/reference/cli.md";
        assert!(reference.contains(&section.replace("diad \n", "diad\n")), "help of {words:?} differs; {remedy}");
    };
    let top = help(&[]);
    assert!(commands(&top).len() > 10, "{top}");
    check(&[]);
    for command in commands(&top) {
        check(&[command]);
        for sub in commands(&help(&[command])) {
            check(&[command, sub]);
        }
    }
}

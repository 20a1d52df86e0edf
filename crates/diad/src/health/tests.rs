use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use diad_core::name::CameraId;

use super::*;
use crate::{testing, web};

/// Every source, in the order of declaration.
fn all() -> Vec<Source> {
    let all = vec![
        Source::Account,
        Source::Broker,
        Source::BrokerConnection,
        Source::Camera(CameraId::try_new("cam0").unwrap()),
        Source::Deadline,
        Source::Drift,
        Source::Engine,
        Source::Golden,
        Source::Http,
        Source::Images,
        Source::LateTriggers,
        Source::Ledger,
        Source::LedgerBacklog,
        Source::LedgerSlip,
        Source::MessageTooLong,
        Source::Messages,
        Source::MessagesUndelivered,
        Source::MessagesUnheeded,
        Source::MessagesUnread,
        Source::MessagesWithheld,
        Source::Product,
        Source::Retention,
        Source::Score,
        Source::Settings,
        Source::Subscription,
        Source::Thresholds,
        Source::TriggersMissing,
    ];
    let declared = include_str!("source.rs").split("pub enum Source {").nth(1).unwrap().split("\n}").next().unwrap();
    let declared: Vec<&str> =
        declared.lines().map(str::trim).filter(|line| line.starts_with(char::is_uppercase)).map(word).collect();
    let listed: Vec<String> = all.iter().map(|source| format!("{source:?}")).collect();
    assert_eq!(listed.iter().map(|name| word(name)).collect::<Vec<_>>(), declared);
    all
}

/// The letters at the start.
fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn notice_is_shown_and_is_no_fault() {
    let health = testing::health();
    health.ready();
    health.notice(Source::Thresholds, "product nut is not one of the model's");
    assert_eq!(health.faults(), (State::Ready, Vec::new()));
    assert!(health.condition().detail.starts_with("thresholds since "), "{:?}", health.condition());
    health.problem(Source::Thresholds, "not taken over");
    assert_eq!(health.faults(), (State::Degraded, vec!["thresholds".to_owned()]));
}

#[test]
fn newest_problem_comes_first() {
    let health = testing::health();
    health.problem(Source::Camera(CameraId::try_new("cam0").unwrap()), "gone");
    std::thread::sleep(Duration::from_millis(2));
    health.problem(Source::Thresholds, "not taken over");
    let detail = health.condition().detail;
    assert!(detail.starts_with("thresholds since ") && detail.contains("; camera cam0 since "), "{detail}");
}

/// What every interface shows of the station: they are made of one condition.
fn expect(health: &Health, state: State, readyz: (bool, &str), fault: Option<&Source>) {
    let condition = health.condition();
    assert_eq!((condition.state, condition.readyz()), (state, readyz), "{condition:?}");
    let status = condition.systemd_status();
    assert!(status == readyz.1 || status.starts_with(&format!("{}: ", readyz.1)), "{status}");
    let metrics = web::metrics::states_text(health);
    for word in State::ALL {
        let line = format!("diad_state{{state=\"{}\"}} {}", word.as_str(), u8::from(word == state));
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    let problems: Vec<&str> = metrics.lines().filter(|line| line.starts_with("diad_problem{")).collect();
    let wanted: Vec<String> = fault.iter().map(|source| format!("diad_problem{{source=\"{source}\"}} 1")).collect();
    assert_eq!(problems, wanted);
    if let Some(source) = fault {
        let named = format!("{source} since ");
        assert!(condition.detail.contains(&named) && status.contains(&named), "{status}");
    }
}

#[test]
fn every_source_shows_the_same_everywhere() {
    let health = testing::health();
    health.ready();
    for source in all() {
        let effect = source.facts().effect;
        if effect != Effect::Notice {
            health.problem(source.clone(), "as the test wants");
            expect(&health, State::Degraded, (true, "degraded"), Some(&source));
        }
        if effect != Effect::Fault {
            health.notice(source.clone(), "as the test wants");
            expect(&health, State::Ready, (true, "ready"), None);
            assert!(health.condition().detail.starts_with(&format!("{source} since ")), "{:?}", health.condition());
        }
        health.well(source);
        expect(&health, State::Ready, (true, "ready"), None);
        assert_eq!(health.condition().detail, "");
    }
}

#[test]
fn state_goes_from_starting_to_offline_and_never_back() {
    let health = testing::health();
    let fault = Source::Drift;
    expect(&health, State::Starting, (false, "starting"), None);
    health.problem(fault.clone(), "moved");
    expect(&health, State::Starting, (false, "starting"), Some(&fault));
    health.ready();
    expect(&health, State::Degraded, (true, "degraded"), Some(&fault));
    health.well(fault);
    expect(&health, State::Ready, (true, "ready"), None);
    // The gate still goes by the verdicts of parts on the line.
    health.stopping();
    expect(&health, State::Ready, (false, "stopping"), None);
    assert_eq!(health.condition().detail, "stopping");
    health.problem(Source::Images, "full");
    expect(&health, State::Degraded, (false, "stopping"), Some(&Source::Images));
    health.well(Source::Images);
    health.stopped();
    expect(&health, State::Offline, (false, "offline"), None);
    health.ready();
    health.stopping();
    expect(&health, State::Offline, (false, "offline"), None);
}

#[test]
fn status_for_systemd_is_one_line_of_bounded_length() {
    let health = testing::health();
    health.problem(Source::Settings, &format!("first\nREADY=1\n{}", "ä".repeat(500)));
    let status = health.condition().systemd_status();
    assert!(status.starts_with("starting: settings since ") && status.contains("first READY=1 ä"), "{status}");
    assert!(!status.contains('\n') && status.len() <= MAX_STATUS_BYTES, "{status}");
}

/// Rust files below a folder, without those of the health itself.
fn sources_below(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("src/health") {
                sources_below(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_source_of_the_table_is_used_and_every_used_one_is_in_it() {
    let mut texts = Vec::new();
    sources_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
    // Others have a `Source` of their own.
    let ours = texts
        .iter()
        .filter(|text| text.lines().any(|line| line.starts_with("use crate::health::") && line.contains("Source")));
    let used: BTreeSet<&str> = ours
        .flat_map(|text| text.split("Source::").skip(1).map(word))
        .filter(|name| name.starts_with(char::is_uppercase))
        .collect();
    let all: Vec<String> = all().iter().map(|source| format!("{source:?}")).collect();
    assert_eq!(used, all.iter().map(|name| word(name)).collect());
}

#[test]
fn every_fault_has_an_alert() {
    let rules = fs::read_to_string(repository().join("docs/monitoring/alerts.yml")).unwrap();
    let rules: BTreeSet<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    // It fires for every source in the metric `diad_problem`, which names every fault.
    assert!(rules.contains("DiadProblem") && rules.contains("DiadNotReady") && rules.contains("DiadGone"));
    for source in all() {
        let SourceFacts { name, alerts, effect, .. } = source.facts();
        assert!(effect != Effect::Notice || alerts.is_empty(), "{name}");
        for alert in alerts {
            assert!(rules.contains(alert), "{name}: docs/monitoring/alerts.yml has no rule {alert}");
        }
    }
}

/// The rows of `docs/design/states.md`.
fn table() -> String {
    let rows = all().into_iter().map(|source| {
        let SourceFacts { name, condition, over, effect, alerts } = source.facts();
        let name = if matches!(source, Source::Camera(_)) { "camera CAMERA" } else { name };
        let (state, general) = match effect {
            Effect::Fault => ("`degraded`", "DiadProblem"),
            Effect::Notice => ("unchanged, a notice", "none"),
            Effect::Either => ("`degraded`; unchanged with a notice", "DiadProblem; none for the notice"),
        };
        let alerts: Vec<&str> = alerts.iter().copied().chain([general]).collect();
        format!("| `{name}` | {condition} | {over} | {state} | {} |\n", alerts.join(", "))
    });
    format!("| source | condition | over | state | alarm |\n|---|---|---|---|---|\n{}", rows.collect::<String>())
}

/// `DIAD_WRITE_DOCS=1` writes the table.
#[test]
fn document_has_the_table() {
    const MARKS: [&str; 2] = ["<!-- sources: generated -->\n", "<!-- end of the sources -->\n"];
    let path = repository().join("docs/design/states.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(MARKS[0]).unwrap();
    let (found, after) = rest.split_once(MARKS[1]).unwrap();
    if std::env::var_os("DIAD_WRITE_DOCS").is_some() {
        fs::write(&path, [before, MARKS[0], &table(), MARKS[1], after].concat()).unwrap();
        return;
    }
    assert_eq!(found, table(), "write it: DIAD_WRITE_DOCS=1 cargo test -p diad --lib document_has_the_table");
}

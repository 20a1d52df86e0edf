//! A process that is killed while it writes.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use super::*;
use crate::testing::{self, Place};

const PATH: &str = "DIAD_LEDGER_TEST_PATH";
const CHILD: &str = "ledger::crash_tests::child_records_until_it_is_killed";

fn child(place: &Place) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([CHILD, "--exact", "--nocapture", "--test-threads=1"])
        .env(PATH, place.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test by itself: without a path from its parent it does nothing.
#[test]
fn child_records_until_it_is_killed() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let mut ledger = Ledger::open(Path::new(&path)).unwrap();
    let RunContext { line, station, .. } = testing::context();
    let run = ledger.start_run(&line, &station, SystemTime::UNIX_EPOCH).unwrap();
    let mut sent = Vec::new();
    for batch in 0.. {
        let mut rows = testing::rows(batch * 7 + 1..batch * 7 + 8);
        rows.iter_mut().for_each(|row| row.key.series.run = run.clone());
        let ids = testing::firsts(&ledger.commit(&[], &rows, &[], &sent).unwrap());
        // The batch is on the disk: from here on the world knows of it.
        println!("\ncommitted {run} {}", batch * 7 + 7);
        sent = ids.into_iter().step_by(2).map(testing::sent).collect();
    }
}

#[test]
fn kill_at_any_moment_loses_nothing_that_was_committed() {
    let place = Place::new();
    let mut promised: Vec<(String, u64)> = Vec::new();
    for round in 1..=8 {
        let mut child = child(&place);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut said = lines.filter_map(|line| {
            let mut words = line.strip_prefix("committed ")?.split(' ').map(str::to_owned);
            Some((words.next()?, words.next()?.parse().ok()?))
        });
        let last = said.by_ref().take(round * 3).last().unwrap();
        child.kill().unwrap();
        // What it said between our last look and its end counts as well.
        promised.push(said.last().unwrap_or(last));
        child.wait().unwrap();

        let ledger = place.open();
        let report = ledger.read().verify().unwrap();
        assert!(report.is_sound(), "{report:?}");
        for (run, seq) in &promised {
            let mut key = testing::key("cam0", *seq);
            key.series.run = diad_core::name::RunId::try_new(run).unwrap();
            ledger.read().part(&key).unwrap().unwrap().unwrap();
            // A whole batch or nothing of it.
            key.seq += 1;
            let next = ledger.read().part(&key).unwrap().is_some();
            key.seq += 6;
            assert_eq!(ledger.read().part(&key).unwrap().is_some(), next);
        }
    }
    let runs: std::collections::BTreeSet<_> = promised.iter().map(|(run, _)| run).collect();
    assert_eq!(runs.len(), promised.len(), "a run id came twice: {promised:?}");
}

//! The one promise under faults: every part exactly one verdict by its deadline, and no verdict lost.
//!
//! `make test` runs every fault shortly; `make faults` runs them longer and prints the table.

mod audit;
mod sabotage;
mod scenarios;

use std::fmt::Write;
use std::time::Instant;

use audit::Audit;
use sabotage::Failure;

use crate::broker::{Broker, Subscriber};
use crate::station::{Station, is_offline};

#[test]
fn without_a_fault_every_verdict_is_on_record_and_acknowledged() {
    scenarios::nothing(20);
}

#[test]
fn killed_daemon_loses_no_verdict_and_says_none_differently() {
    scenarios::daemon_killed(6);
}

#[test]
fn killed_broker_gets_what_it_had_not_acknowledged_again() {
    scenarios::broker_killed(2);
}

#[test]
fn cut_network_delays_verdicts_and_loses_none() {
    scenarios::network_cut(2);
}

#[test]
fn hung_broker_gets_what_it_swallowed_again() {
    scenarios::broker_hangs(1);
}

#[test]
fn broker_that_refuses_gets_everything_when_it_does_not() {
    scenarios::broker_refuses(1);
}

#[test]
fn what_one_process_owes_the_next_one_says_also_after_a_start_that_failed() {
    scenarios::settings_broken_on_restart(1);
}

#[test]
fn removed_ledger_degrades_the_station_and_the_gap_is_on_record() {
    scenarios::ledger_removed(1);
}

#[test]
fn full_disk_stops_no_verdict_and_a_read_only_one_is_refused() {
    if scenarios::disk_full(1).is_none() {
        eprintln!("skipped: this user may not mount a small disk");
    }
}

#[test]
fn stalled_camera_costs_its_parts_their_deadline_and_nothing_else() {
    scenarios::camera_stalls(4);
}

#[test]
fn pictures_of_parts_that_did_not_pass_lie_beside_the_ledger() {
    scenarios::pictures();
}

#[test]
fn networks_that_give_no_number_leave_their_part_unjudged() {
    scenarios::engine_fails(Failure::NaN, 7);
}

#[test]
fn networks_that_fail_leave_their_part_unjudged() {
    scenarios::engine_fails(Failure::Error, 7);
}

#[test]
fn networks_that_fail_again_and_again_end_the_process_with_70() {
    scenarios::engine_gives_up(1);
}

#[test]
fn networks_slower_than_the_deadline_judge_nothing() {
    scenarios::engine_too_slow(8);
}

#[test]
fn overload_sheds_the_oldest_aloud() {
    scenarios::overload(30);
}

/// What a row of the table is called, and how it is found.
type Row = (&'static str, Box<dyn Fn() -> Option<Audit>>);

/// Every fault, longer, with a table at the end.
#[test]
#[ignore = "minutes: `make faults`"]
fn table_of_faults() {
    let rows: Vec<Row> = vec![
        ("none", Box::new(|| Some(scenarios::nothing(1000)))),
        ("daemon killed at 100 instants", Box::new(|| Some(scenarios::daemon_killed(100)))),
        ("broker killed 20 times, memory lost", Box::new(|| Some(scenarios::broker_killed(20)))),
        ("network cut 20 times", Box::new(|| Some(scenarios::network_cut(20)))),
        ("broker hangs 10 times, connected", Box::new(|| Some(scenarios::broker_hangs(10)))),
        ("broker refuses (CONNACK)", Box::new(|| Some(scenarios::broker_refuses(1)))),
        (
            "no broker at the stop, broken settings at the start",
            Box::new(|| Some(scenarios::settings_broken_on_restart(1))),
        ),
        ("ledger file removed", Box::new(|| Some(scenarios::ledger_removed(1)))),
        ("ledger disk full; read-only at a start", Box::new(|| scenarios::disk_full(1))),
        ("camera stalls", Box::new(|| Some(scenarios::camera_stalls(12)))),
        ("networks give NaN for a third", Box::new(|| Some(scenarios::engine_fails(Failure::NaN, 300)))),
        ("networks fail for a third", Box::new(|| Some(scenarios::engine_fails(Failure::Error, 300)))),
        ("networks give NaN for all", Box::new(|| Some(scenarios::engine_gives_up(1)))),
        ("networks slower than the deadline", Box::new(|| Some(scenarios::engine_too_slow(100)))),
        ("overload, two cameras at 1 ms", Box::new(|| Some(scenarios::overload(500)))),
    ];
    let mut table = String::from(
        "| fault | parts in | verdicts heard | on record | unjudged | said again | lost | said differently | false PASS | s |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (fault, run) in rows {
        let begun = Instant::now();
        let Some(audit) = run() else {
            writeln!(table, "| {fault} | not run: this user may not mount | | | | | | | | |").unwrap();
            continue;
        };
        writeln!(
            table,
            "| {fault} | {} | {} | {} | {} | {} | {} | {} | {} | {:.0} |",
            audit.parts_in(),
            audit.heard.len(),
            audit.recorded.len(),
            audit.count("UNJUDGED"),
            audit.repeats,
            audit.lost(),
            audit.differently,
            audit.false_pass(),
            begun.elapsed().as_secs_f64(),
        )
        .unwrap();
    }
    eprintln!("{table}");
}

/// A ledger that cannot be used keeps the daemon from starting, with a reason and what to do.
#[test]
fn unusable_ledger_is_refused_at_the_start() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let camera = "  - { id: cam0, source: { kind: rendered }, trigger: { kind: free_run, every_ms: 20 } }";
    let mut station = Station::start(&broker, camera);
    plant.until(scenarios::is_verdict);
    assert!(diad_ledger::Ledger::open(&station.ledger()).is_err(), "one writer");
    station.signal("TERM");
    plant.until(is_offline);
    assert_eq!(station.exit_code(), Some(0));

    let ledger = station.ledger();
    let held = diad_ledger::Ledger::open(&ledger).unwrap();
    station.restart();
    assert_eq!(station.exit_code(), Some(69), "{}", station.log());
    assert!(station.log().contains("one station has one daemon"), "{}", station.log());
    drop(held);

    std::fs::write(&ledger, "this is no database at all, and quite long enough to be looked at as one").unwrap();
    station.restart();
    assert_eq!(station.exit_code(), Some(65), "{}", station.log());
    assert!(station.log().contains("ledger.sqlite3"), "{}", station.log());

    std::fs::remove_dir_all(ledger.parent().unwrap()).unwrap();
    station.restart();
    assert_eq!(station.exit_code(), Some(74), "{}", station.log());
}

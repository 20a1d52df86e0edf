//! The one promise under faults: every part exactly one verdict by its deadline, and no verdict lost.
//!
//! `make test` runs every fault shortly; `make faults` runs them longer and prints the table.

mod audit;
mod daemon;
pub mod disk;
mod judging;
mod late;
mod plant;
mod sabotage;
mod undelivered;
mod wire;

use std::fmt::Write;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use audit::Audit;
use sabotage::Failure;

use crate::broker::{Broker, Received, Subscriber};
use crate::station::{Station, is_offline};

#[test]
fn without_a_fault_every_verdict_is_on_record_and_acknowledged() {
    daemon::nothing(20);
}

#[test]
fn killed_daemon_loses_no_verdict_and_says_none_differently() {
    daemon::killed(6);
}

#[test]
fn killed_broker_gets_what_it_had_not_acknowledged_again() {
    wire::broker_killed(2);
}

#[test]
fn cut_network_delays_verdicts_and_loses_none() {
    wire::network_cut(2);
}

#[test]
fn broker_that_comes_back_with_its_sessions_loses_nothing() {
    wire::broker_restarted(2);
}

#[test]
fn broker_that_stands_still_for_a_moment_gets_everything() {
    wire::broker_stands_still(1, Duration::from_secs(3));
}

#[test]
fn broker_that_stands_still_for_long_is_left_and_gets_everything() {
    wire::broker_stands_still(1, Duration::from_secs(15));
}

#[test]
fn silent_network_is_noticed_without_an_end_of_the_connection() {
    wire::network_silent(2);
}

#[test]
fn pulled_cable_is_noticed_and_what_was_owed_is_said() {
    expect_tried(wire::cable_pulled(2).as_ref(), "pulled cable", NO_NETWORK);
}

#[test]
fn hung_broker_gets_what_it_swallowed_again() {
    wire::broker_hangs(1);
}

#[test]
fn broker_that_refuses_gets_everything_when_it_does_not() {
    wire::broker_refuses(1);
}

#[test]
fn verdicts_that_access_rules_drop_are_owed_and_said_when_they_may_be() {
    undelivered::verdicts_denied(1);
}

#[test]
fn product_that_access_rules_withhold_is_reported_until_it_is_delivered() {
    undelivered::product_withheld();
}

#[test]
fn two_stations_of_one_name_are_reported_and_lose_nothing() {
    undelivered::twins();
}

#[test]
fn verdicts_at_which_a_broker_ends_the_connection_are_owed_and_said_when_they_fit() {
    undelivered::verdicts_cut(1);
}

#[test]
fn message_far_too_long_keeps_no_verdict_back() {
    undelivered::poison();
}

#[test]
fn what_one_process_owes_the_next_one_says_also_after_a_start_that_failed() {
    daemon::settings_broken_on_restart(1);
}

#[test]
fn removed_ledger_degrades_the_station_and_the_gap_is_on_record() {
    disk::removed(1);
}

/// Says aloud what could not be tried here: on the terminal, and in a file that `make test` prints at its end.
fn expect_tried(audit: Option<&Audit>, what: &str, lacks: &str) {
    if audit.is_none() {
        let line = format!("skipped: {what}: {lacks}");
        eprintln!("{line}");
        let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/skipped");
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

const NO_DISK: &str = "this user may not mount a small disk";
const NO_NETWORK: &str = "no two networks with a cable are to be had here";

#[test]
fn full_disk_stops_no_verdict_and_a_read_only_one_is_refused() {
    expect_tried(disk::full(1).as_ref(), "full disk", NO_DISK);
}

#[test]
fn disk_that_turns_read_only_stops_no_verdict() {
    expect_tried(disk::turns_read_only(1).as_ref(), "disk that turns read-only", NO_DISK);
}

#[test]
fn disk_that_hangs_stops_no_verdict_and_the_gap_is_on_record() {
    expect_tried(disk::hangs(1).as_ref(), "disk that hangs", NO_DISK);
}

#[test]
fn damaged_ledger_stops_no_verdict_and_is_not_called_sound() {
    disk::damaged(10);
}

#[test]
fn full_disk_at_the_end_of_a_process_makes_no_second_verdict_at_the_next_start() {
    expect_tried(disk::full_to_the_end(2).as_ref(), "process that ends on a full disk", NO_DISK);
}

#[test]
fn camera_lost_in_a_picture_costs_its_parts_their_deadline_and_nothing_else() {
    judging::camera_stalls(4);
}

#[test]
fn pictures_of_parts_that_did_not_pass_lie_beside_the_ledger() {
    judging::pictures();
}

#[test]
fn networks_that_give_no_number_leave_their_part_unjudged() {
    judging::engine_fails(Failure::NaN, 7);
}

#[test]
fn networks_that_fail_leave_their_part_unjudged() {
    judging::engine_fails(Failure::Error, 7);
}

#[test]
fn networks_that_fail_again_and_again_end_the_process_with_70() {
    judging::engine_gives_up(1);
}

#[test]
fn networks_slower_than_the_deadline_judge_nothing() {
    judging::engine_too_slow(8);
}

#[test]
fn overload_sheds_the_oldest_aloud() {
    judging::overload(30);
}

#[test]
fn triggers_that_a_network_held_back_are_late_and_the_others_are_not() {
    late::network_stalls(1);
}

#[test]
fn triggers_that_waited_for_a_process_that_stood_still_are_late_and_the_others_are_not() {
    late::process_stalls(1);
}

#[test]
fn parts_of_the_clock_that_came_up_in_a_process_that_stood_still_are_late() {
    late::clock_stalls();
}

#[test]
fn trigger_that_shows_its_time_is_judged_by_that() {
    late::proof_of_youth();
}

#[test]
fn triggers_that_a_kill_overtakes_are_parts_and_none_of_them_is_judged_late() {
    late::killed(2);
}

#[test]
fn triggers_that_a_broker_sends_again_are_one_part_each() {
    late::redelivered(1);
}

#[test]
fn mark_that_comes_again_never_gets_a_looser_bit() {
    late::repeated(1);
}

/// What a row of the table is called, and how it is found.
type Fault = (&'static str, Box<dyn Fn() -> Option<Audit>>);

fn fault(name: &'static str, run: impl Fn() -> Audit + 'static) -> Fault {
    (name, Box::new(move || Some(run())))
}

/// One that not every machine lets us have.
fn rare(name: &'static str, run: impl Fn() -> Option<Audit> + 'static) -> Fault {
    (name, Box::new(run))
}

/// Every fault, longer, with a table at the end.
#[test]
#[ignore = "minutes: `make faults`"]
fn table_of_faults() {
    let rows: Vec<Fault> = vec![
        fault("none", || daemon::nothing(1000)),
        fault("daemon killed at 100 random instants, half of them without a broker", || daemon::killed(100)),
        fault("broker killed 20 times, memory lost", || wire::broker_killed(20)),
        fault("broker killed or stopped 20 times, sessions kept", || wire::broker_restarted(20)),
        fault("network cut 20 times", || wire::network_cut(20)),
        fault("network silent 8 times, no end of the connection", || wire::network_silent(8)),
        rare("cable between two networks pulled 8 times", || wire::cable_pulled(8)),
        fault("broker hangs 10 times, connected", || wire::broker_hangs(10)),
        fault("broker stands still for 3 s, 5 times", || wire::broker_stands_still(5, Duration::from_secs(3))),
        fault("broker stands still for 15 s, 2 times", || wire::broker_stands_still(2, Duration::from_secs(15))),
        fault("broker refuses (CONNACK)", || wire::broker_refuses(1)),
        fault("broker denies verdicts and acknowledges them, 3 times", || undelivered::verdicts_denied(3)),
        fault("broker ends the connection at the size of a verdict", || undelivered::verdicts_cut(1)),
        fault("retained message of 1.1 MB on a topic that is read", undelivered::poison),
        fault("broker withholds the topic of the product", undelivered::product_withheld),
        fault("two stations of one name, each with a ledger", undelivered::twins),
        fault("no broker at the stop, broken settings at the start", || daemon::settings_broken_on_restart(1)),
        fault("ledger file removed", || disk::removed(1)),
        fault("ledger file damaged", || disk::damaged(100)),
        rare("ledger disk full; read-only at a start", || disk::full(1)),
        rare("ledger disk turns read-only", || disk::turns_read_only(1)),
        rare("ledger disk hangs", || disk::hangs(1)),
        rare("process ends on a full disk, 10 times", || disk::full_to_the_end(10)),
        fault("camera lost in a picture that takes longer than the deadline", || judging::camera_stalls(12)),
        fault("network holds triggers back for 2.5 s, 5 times", || late::network_stalls(5)),
        fault("process stands still for 2.5 s while triggers come, 5 times", || late::process_stalls(5)),
        fault("daemon killed 10 times while triggers come", || late::killed(10)),
        fault("acknowledgements of triggers lost 5 times, sent again by the broker (DUP)", || late::redelivered(5)),
        fault("a trigger comes again with the same part id", || late::repeated(1)),
        fault("networks give NaN for a third", || judging::engine_fails(Failure::NaN, 300)),
        fault("networks fail for a third", || judging::engine_fails(Failure::Error, 300)),
        fault("networks give NaN for all", || judging::engine_gives_up(1)),
        fault("networks slower than the deadline", || judging::engine_too_slow(100)),
        fault("overload, two cameras at 1 ms", || judging::overload(500)),
    ];
    let chosen = std::env::var("DIAD_FAULT").unwrap_or_default();
    let mut table = String::from(
        "| fault | parts in | verdicts received | on record | unjudged | received twice | lost | differing | false PASS | s |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut failed = Vec::new();
    for (fault, run) in rows.into_iter().filter(|(fault, _)| fault.contains(&chosen)) {
        let begun = Instant::now();
        let row = match std::panic::catch_unwind(AssertUnwindSafe(run)) {
            Ok(Some(audit)) => format!(
                "| {fault} | {} | {} | {} | {} | {} | {} | {} | {} | {:.0} |",
                audit.parts_in(),
                audit.received.len(),
                audit.recorded.len(),
                audit.count("UNJUDGED"),
                audit.repeats,
                audit.lost(),
                audit.differently.len(),
                audit.false_pass().len(),
                begun.elapsed().as_secs_f64(),
            ),
            Ok(None) => format!("| {fault} | not run on this machine | | | | | | | | |"),
            Err(_) => {
                failed.push(fault);
                format!("| {fault} | FAILED, see above | | | | | | | | |")
            }
        };
        eprintln!("{row}");
        writeln!(table, "{row}").unwrap();
    }
    eprintln!("{table}");
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// A ledger that cannot be used keeps the daemon from starting, with a reason and what to do.
#[test]
fn unusable_ledger_is_refused_at_the_start() {
    let broker = Broker::start();
    let plant = Subscriber::start(broker.port(), "factory/L1/S1/#");
    let camera = "  - { id: cam0, source: { kind: rendered }, trigger: { kind: free_run, every_ms: 20 } }";
    let mut station = Station::start(&broker, camera);
    plant.until(plant::is_verdict);
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

/// The books themselves: what is lost, said differently or passed without a judgement does not go unseen.
#[test]
fn books_show_what_is_lost_said_differently_and_passed_without_a_judgement() {
    let broker = Broker::start();
    let plant = plant::listen(&broker);
    let mut station = Station::start(&broker, plant::FREE_RUN);
    let mut received = plant.until(|m| plant::is_verdict(m) && plant::seq(m) == 5);
    received.extend(plant::stop(&mut station, &plant));
    let last = received.iter().filter(|m| plant::is_verdict(m)).map(plant::seq).max().unwrap();

    let sound = Audit::of(&station, &received);
    sound.expect_all_delivered();
    assert_eq!((sound.parts_in(), sound.lost()), (last, 0));

    let but_the_last: Vec<_> =
        received.iter().filter(|m| !plant::is_verdict(m) || plant::seq(m) < last).cloned().collect();
    assert_eq!(Audit::of(&station, &but_the_last).lost(), 1);
    assert_eq!(Audit::of_wire(&station, &but_the_last).lost(), 1);

    let first = |m: &&Received| plant::is_verdict(m) && plant::seq(m) == 1;
    let mut again = received.iter().find(first).unwrap().clone();
    again.payload["historical"] = true.into();
    let audit = Audit::of(&station, &[received.clone(), vec![again.clone()]].concat());
    assert_eq!((audit.repeats, audit.differently.len()), (1, 0));
    again.payload["latency_ms"] = 0.5.into();
    let audit = Audit::of(&station, &[received.clone(), vec![again]].concat());
    assert_eq!((audit.repeats, audit.differently.len()), (0, 1));

    let mut fabricated = received;
    let message = fabricated.iter_mut().find(|m| plant::is_verdict(m) && plant::seq(m) == 2).unwrap();
    for (name, value) in [("verdict", "PASS".into()), ("reason", serde_json::Value::Null), ("score", 0.01.into())] {
        message.payload[name] = value;
    }
    message.payload["width_px"] = serde_json::Value::Null;
    let audit = Audit::of(&station, &fabricated);
    assert_eq!((audit.false_pass().len(), audit.differently.len()), (1, 1));
}

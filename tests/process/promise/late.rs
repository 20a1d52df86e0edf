//! Triggers that wait on their way, come twice, or are overtaken by a kill: counted at the plant, which has no other count.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use diad_ledger::Reader;
use diad_publish::wire::Moment;
use serde_json::Value;

use super::audit::Audit;
use super::plant::{FREE_RUN, is_state, is_verdict, listen, seq, stop, whole};
use crate::broker::{Broker, Direction, Gate, Received, Subscriber, wait_until};
use crate::station::{Station, micro, of};

const TRIGGERED: &str = "  - { id: cam0, source: { kind: rendered, seed: 3 }, trigger: { kind: mqtt } }";
const DEADLINE: &str = "deadline_ms: 1000";
/// Long enough for every one of these deadlines to pass.
const STALL: Duration = Duration::from_millis(2500);
const TRIGGER: &str = "factory/L1/S1/trigger";

/// The plant's controller: gives triggers, each with a mark of its own.
struct Controller<'a> {
    plant: &'a Subscriber,
    received: Vec<Received>,
    parts: u64,
}

impl Controller<'_> {
    /// Triggers for a while, ten a second. Gives their marks.
    fn trigger_for(&mut self, time: Duration) -> Vec<String> {
        let count = (time.as_millis() / 100).max(1);
        let marks = (0..count).map(|_| {
            std::thread::sleep(Duration::from_millis(100));
            self.trigger("")
        });
        marks.collect()
    }

    fn trigger(&mut self, more: &str) -> String {
        self.parts += 1;
        let mark = format!("P-{}", self.parts);
        self.plant.publish(TRIGGER, false, format!(r#"{{"part":"{mark}"{more}}}"#));
        mark
    }

    /// Hears until every one of these has its verdict.
    fn receive(&mut self, marks: &[String]) {
        let missing = |received: &[Received]| {
            let verdicts = verdicts(received);
            marks.iter().any(|mark| !verdicts.contains_key(mark))
        };
        while missing(&self.received) {
            let next = self.plant.next();
            self.received.push(next);
        }
    }
}

/// The verdicts of each mark, in the order of hearing; one that is said again counts once.
fn verdicts(received: &[Received]) -> BTreeMap<String, Vec<Value>> {
    let mut verdicts: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for verdict in of(received, "verdict") {
        let of_mark = verdicts.entry(verdict["part"].as_str().unwrap().to_owned()).or_default();
        if !of_mark.iter().any(|known| (&known["run"], &known["seq"]) == (&verdict["run"], &verdict["seq"])) {
            of_mark.push(verdict.clone());
        }
    }
    verdicts
}

/// None of these was judged, and no bit opens the gate for one.
#[track_caller]
fn expect_late(received: &[Received], marks: &[String]) {
    let verdicts = verdicts(received);
    for mark in marks {
        for verdict in &verdicts[mark] {
            assert_eq!(
                (&verdict["verdict"], &verdict["reason"]),
                (&"UNJUDGED".into(), &"late_trigger".into()),
                "{mark}"
            );
        }
    }
    let bits = of(received, "reject").into_iter().filter(|bit| marks.iter().any(|mark| bit["part"] == mark.as_str()));
    assert!(bits.into_iter().all(|bit| bit["reject"] == 1));
}

/// None of these was called late.
#[track_caller]
fn expect_prompt(received: &[Received], marks: &[String]) {
    let verdicts = verdicts(received);
    for mark in marks {
        assert!(
            verdicts[mark].iter().all(|verdict| verdict["reason"] != "late_trigger"),
            "{mark}: {:?}",
            verdicts[mark]
        );
    }
}

/// Something stands still while the plant goes on triggering, and goes on as if nothing had been: what waited is late, also
/// where `on_unjudged` lets unjudged parts pass; what comes before and soon after is judged.
fn stall(stalls: u64, broker: &Broker, gate: &Gate, stall: impl Fn(&Station), go_on: impl Fn(&Station)) -> Audit {
    let plant = listen(broker);
    let mut station = Station::launch_at(gate.port(), &micro(), TRIGGERED, &format!("{DEADLINE}\non_unjudged: pass"));
    let received = plant.until(is_state("ready"));
    let mut controller = Controller { plant: &plant, received, parts: 0 };
    for _ in 0..stalls {
        let before = controller.trigger_for(Duration::from_millis(500));
        controller.receive(&before);
        stall(&station);
        let held = controller.trigger_for(STALL);
        go_on(&station);
        controller.receive(&held);
        // Longer than a broker that came back is distrusted for.
        std::thread::sleep(Duration::from_millis(1300));
        let after = controller.trigger_for(Duration::from_millis(500));
        controller.receive(&after);
        expect_prompt(&controller.received, &before);
        expect_late(&controller.received, &held);
        expect_prompt(&controller.received, &after);
    }
    let mut received = controller.received;
    received.extend(stop(&mut station, &plant));
    whole(&station, &received)
}

/// The network between station and broker holds everything back.
pub fn network_stalls(stalls: u64) -> Audit {
    let (gate, broker) = (Gate::shut(), Broker::start());
    gate.open(broker.port());
    stall(stalls, &broker, &gate, |_| gate.hold(), |_| gate.release())
}

/// The station's process is stopped and goes on.
pub fn process_stalls(stalls: u64) -> Audit {
    let (gate, broker) = (Gate::shut(), Broker::start());
    gate.open(broker.port());
    stall(stalls, &broker, &gate, |station| station.signal("STOP"), |station| station.signal("CONT"))
}

/// The clock of a station goes on while its process is stopped: its parts are no longer before the camera.
pub fn clock_stalls() {
    let broker = Broker::start();
    let plant = listen(&broker);
    let camera = FREE_RUN.replace("every_ms: 20", "every_ms: 100");
    let mut station = Station::start_with(&broker, &camera, DEADLINE);
    let mut received = plant.until(|m| is_verdict(m) && seq(m) == 10);
    station.signal("STOP");
    std::thread::sleep(STALL);
    station.signal("CONT");
    let is_late = |m: &Received| is_verdict(m) && m.payload["reason"] == "late_trigger";
    received.extend(plant.until(is_late));
    let last = received.last().map_or(0, seq);
    received.extend(plant.until(|m| is_verdict(m) && seq(m) > last + 25 && m.payload["verdict"] != "UNJUDGED"));
    received.extend(stop(&mut station, &plant));
    // All of the stall but its last second, in parts of 100 ms, and some for a machine that is slow to go on.
    let late = received.iter().filter(|m| is_late(m)).count();
    assert!((10..20).contains(&late), "{late}");
    whole(&station, &received);
}

/// A trigger that shows its time is judged by that, whatever stood still.
pub fn proof_of_youth() {
    let (gate, broker) = (Gate::shut(), Broker::start());
    gate.open(broker.port());
    let plant = listen(&broker);
    let mut station = Station::launch_at(gate.port(), &micro(), TRIGGERED, DEADLINE);
    let received = plant.until(is_state("ready"));
    let mut controller = Controller { plant: &plant, received, parts: 0 };
    let at = |time: SystemTime| format!(r#","at":"{}""#, Moment::from(time));
    gate.hold();
    let old = controller.trigger(&at(SystemTime::now()));
    std::thread::sleep(STALL);
    let young = controller.trigger(&at(SystemTime::now()));
    let unknown = controller.trigger("");
    gate.release();
    controller.receive(&[old.clone(), young.clone(), unknown.clone()]);
    expect_late(&controller.received, &[old, unknown]);
    expect_prompt(&controller.received, &[young]);
    controller.received.extend(stop(&mut station, &plant));
    whole(&station, &controller.received);
}

/// The daemon is killed while triggers come in, and while it is away: every trigger that the broker took over is a part, and
/// none that waited is judged.
pub fn killed(kills: u64) -> Audit {
    let broker = Broker::start();
    let plant = listen(&broker);
    let mut station = Station::start_with(&broker, TRIGGERED, DEADLINE);
    let received = plant.until(is_state("ready"));
    let mut controller = Controller { plant: &plant, received, parts: 0 };
    for kill in 0..kills {
        for trigger in 0..40 {
            controller.trigger("");
            std::thread::sleep(Duration::from_millis((kill * 7 + trigger * 13) % 11));
        }
        station.kill();
        let held = controller.trigger_for(Duration::from_millis(500));
        let starts = station.log().matches("station starts").count();
        station.restart();
        wait_until("the next start", || station.log().matches("station starts").count() > starts);
        controller.receive(&held);
        expect_late(&controller.received, &held);
    }
    let last = controller.trigger("");
    controller.receive(&[last]);
    let mut received = controller.received;
    received.extend(stop(&mut station, &plant));
    let audit = whole(&station, &received);
    assert!(audit.triggered.len() as u64 > kills * 40, "{}", audit.triggered.len());
    audit
}

/// What the station sends is swallowed, acknowledgements of triggers among it, and the connection is lost: the broker sends
/// those triggers again (DUP), and each of them is one part all the same.
pub fn redelivered(times: u64) -> Audit {
    let (gate, broker) = (Gate::shut(), Broker::start());
    gate.open(broker.port());
    let plant = listen(&broker);
    let mut station = Station::launch_at(gate.port(), &micro(), TRIGGERED, "deadline_ms: 5000");
    let received = plant.until(is_state("ready"));
    let mut controller = Controller { plant: &plant, received, parts: 0 };
    for _ in 0..times {
        let before = controller.trigger_for(Duration::from_millis(300));
        controller.receive(&before);
        gate.freeze(Direction::ToBroker);
        let swallowed = controller.trigger_for(Duration::from_millis(500));
        wait_until("the record", || {
            let owed = Reader::open(&station.ledger()).and_then(|reader| reader.unsent_count());
            owed.is_ok_and(|owed| owed >= swallowed.len() as u64)
        });
        gate.cut_and_shut();
        gate.open(broker.port());
        controller.receive(&swallowed);
        let after = controller.trigger_for(Duration::from_millis(300));
        controller.receive(&after);
    }
    let is_redelivery =
        |line: &&String| line.contains("Sending PUBLISH to diad") && line.contains("(d1") && line.contains("/trigger");
    let redelivered = broker.log().iter().filter(is_redelivery).count() as u64;
    assert!(redelivered >= times * 5, "{redelivered} messages were sent again");
    let verdicts = verdicts(&controller.received);
    assert_eq!(verdicts.len() as u64, controller.parts);
    let twice: Vec<_> = verdicts.iter().filter(|(_, of_mark)| of_mark.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let mut received = controller.received;
    received.extend(stop(&mut station, &plant));
    whole(&station, &received)
}

/// A mark that comes again within its time: its bit never gets looser, and its verdict says what it is.
pub fn repeated(_: u64) -> Audit {
    let broker = Broker::start();
    let plant = listen(&broker);
    let mut station =
        Station::start_with(&broker, TRIGGERED, "deadline_ms: 5000\nrepeat_within_ms: 60000\non_unjudged: pass");
    let received = plant.until(is_state("ready"));
    let mut controller = Controller { plant: &plant, received, parts: 0 };
    let cut_offs = |of: &str| {
        let taken = station.log().matches("thresholds taken over").count();
        std::fs::write(station.folder.path().join("thresholds.yaml"), format!("default: {{ {of} }}\n")).unwrap();
        wait_until("the thresholds", || station.log().matches("thresholds taken over").count() > taken);
    };
    cut_offs("review: 0, reject: 0");
    let first = controller.trigger("");
    controller.receive(std::slice::from_ref(&first));
    // Nothing counts any more: a part without a repeat goes on, by the settings.
    cut_offs("review: 0, reject: 0, ignore: [ { x: 0, y: 0, width: 256, height: 256 } ]");
    let other = controller.trigger("");
    controller.parts = 0;
    assert_eq!(controller.trigger(""), first);
    controller.received.extend(plant.until(|m| is_verdict(m) && m.payload["repeat"] == true));
    controller.receive(std::slice::from_ref(&other));
    let verdicts = verdicts(&controller.received);
    let words =
        |mark: &String| -> Vec<Value> { verdicts[mark].iter().map(|verdict| verdict["verdict"].clone()).collect() };
    assert_eq!(words(&first), ["REJECT", "UNJUDGED"]);
    assert_eq!(words(&other), ["UNJUDGED"]);
    assert!(verdicts[&other][0].get("repeat").is_none());
    let mut received = controller.received;
    received.extend(stop(&mut station, &plant));
    let bits = |mark: &str| -> Vec<Value> {
        let bits = of(&received, "reject").into_iter().filter(|bit| bit["part"] == mark);
        bits.map(|bit| bit["reject"].clone()).collect()
    };
    assert_eq!((bits(&first), bits(&other)), (vec![1.into(), 1.into()], vec![0.into()]));
    whole(&station, &received)
}

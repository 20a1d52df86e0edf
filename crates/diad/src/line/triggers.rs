//! What makes a picture a part: the trigger of each camera, and the product in force when it fires.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use diad_core::event::Reason;
use diad_core::frame::{PartMeta, Stamp};
use diad_core::name::{CameraId, PartId, ProductName};
use diad_publish::wire::{Inbound, TriggerMessage};
use diad_publish::{Arrived, Promptness, Receipt};
use tracing::{error, info, warn};

use super::desk::PartRegistration;
use super::lateness::{Age, Lateness};
use crate::chain::chain;
use crate::products::InForce;

/// Trigger messages that may wait for one camera. A plant that sends more than this ahead of its parts is out of step.
const MAX_WAITING_TRIGGERS: usize = 64;

/// Marks of the last parts that are remembered, to tell a plant that it repeats one.
const MAX_REMEMBERED_PART_IDS: usize = 256;

/// Cameras without a trigger of their own, or that are none, whose parts are told apart. A plant that writes something else
/// into `camera` must not fill the memory: what further names bring is booked under the last of these.
const MAX_UNKNOWN_CAMERAS: usize = 16;

/// What came late is told for so long after the last that did.
const LATE_TRIGGER_REPORT_TIME: Duration = Duration::from_secs(10);

/// A part that waits for its camera.
#[derive(Debug)]
pub(super) struct Triggered {
    /// The part. Its time runs from its trigger at the plant.
    pub(super) meta: PartMeta,
    /// When the trigger came in: a picture that was taken before may show another part.
    pub(super) heard: Instant,
}

/// A part that no camera takes, and why it is not judged: none where its camera has ended or is not there.
pub(super) type Refused = (PartMeta, Option<Reason>);

/// What came of one message.
#[derive(Debug, Default)]
pub(super) struct Routed {
    /// To be booked by the caller.
    pub(super) refused: Vec<Refused>,
    /// A change-over, to be put on record; none for a product that cannot be read.
    pub(super) product: Option<(Option<ProductName>, Stamp, Receipt)>,
}

impl Routed {
    /// Parts that have receipts of their own.
    fn parts(refused: Vec<Refused>, receipt: Receipt) -> Self {
        receipt.settle();
        Self { refused, product: None }
    }
}

/// Triggers that came late, or not at all, since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LateTriggers {
    /// Those that came late.
    pub late: u64,
    /// The last one and why it is late, while that was a moment ago.
    pub last: Option<String>,
    /// Those that never came, by the counts of those that did.
    pub missing: u64,
    /// Whether that was found out a moment ago.
    pub misses: bool,
}

/// Hands trigger messages to the cameras they are meant for, in the order in which they came, and keeps the product.
#[derive(Debug, Clone)]
pub struct Triggers(Arc<Mutex<TriggerTable>>);

#[derive(Debug)]
struct TriggerTable {
    lateness: Lateness,
    late: u64,
    last_late: Option<(Instant, String)>,
    last_missing: Option<Instant>,
    product: InForce,
    marks: VecDeque<PartId>,
    /// None once the camera has ended: its parts are refused, which is not the same as having no such camera.
    cameras: Vec<(CameraId, Option<Sender<Triggered>>)>,
    strangers: Vec<CameraId>,
    /// Triggers for all cameras of a station none of whose cameras takes any.
    unheeded: u64,
}

impl TriggerTable {
    /// The name to book a part under whose trigger names a camera that takes none.
    fn stranger(&mut self, named: &CameraId) -> CameraId {
        if !self.strangers.contains(named) && self.strangers.len() < MAX_UNKNOWN_CAMERAS {
            self.strangers.push(named.clone());
        }
        let known = self.strangers.iter().find(|known| *known == named).or(self.strangers.last());
        known.unwrap_or(named).clone()
    }
}

impl TriggerTable {
    fn note_mark(&mut self, part: Option<&PartId>) {
        let Some(part) = part else { return };
        if self.marks.contains(part) {
            warn!(?part, "trigger repeats the mark of an earlier part; it is a part of its own");
        }
        self.marks.truncate(MAX_REMEMBERED_PART_IDS - 1);
        self.marks.push_front(part.clone());
    }

    fn age(&mut self, trigger: &TriggerMessage, at: Stamp, promptness: Promptness) -> Age {
        let missing = self.lateness.missing();
        let age = self.lateness.age(trigger, at, promptness);
        if self.lateness.missing() > missing {
            let triggers = self.lateness.missing() - missing;
            warn!(part = ?trigger.part, triggers, "triggers before this one never came, by its count");
            self.last_missing = Some(at.mono);
        }
        if let Age::Late(cause) = &age {
            warn!(part = ?trigger.part, %cause, "trigger came late: its part is not judged");
            self.late += 1;
            // Escaped: a mark is any text.
            let mark = trigger.part.as_ref().map_or_else(|| "without a mark".to_owned(), |part| format!("{part:?}"));
            self.last_late = Some((at.mono, format!("{mark}: {cause}")));
        }
        age
    }

    /// Makes a trigger a part of every camera that it is meant for. With a `refusal`, or late, no camera is asked to take it.
    fn book(
        &mut self,
        trigger: &TriggerMessage,
        heard: Stamp,
        age: Age,
        refusal: Option<Reason>,
        receipt: &Receipt,
        enter: impl Fn(&CameraId, PartRegistration) -> PartMeta,
    ) -> Vec<Refused> {
        let (captured, late, refusal) = match age {
            Age::Young(captured) => (captured, false, refusal),
            // Whatever else is wrong with it: its bit must not open the gate for another part.
            Age::Late(_) => (heard, true, Some(Reason::LateTrigger)),
        };
        let product = self.product.product().cloned();
        let arrival = || PartRegistration {
            part: trigger.part.clone(),
            product: product.clone(),
            source: None,
            captured,
            late,
            receipt: Some(receipt.clone()),
        };
        let meant = |id: &CameraId| trigger.camera.as_ref().is_none_or(|wanted| wanted == id);
        let mut refused = Vec::new();
        let mut meant_any = false;
        for (camera, sender) in self.cameras.iter().filter(|(id, _)| meant(id)) {
            meant_any = true;
            let meta = enter(camera, arrival());
            match sender {
                _ if refusal.is_some() => refused.push((meta, refusal)),
                None => {
                    error!(%camera, "trigger not taken: the camera has ended");
                    refused.push((meta, None));
                }
                Some(sender) => {
                    let triggered = Triggered { meta, heard: heard.mono };
                    if let Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) = sender.try_send(triggered)
                    {
                        error!(%camera, waiting = MAX_WAITING_TRIGGERS, "trigger not taken: too many wait already");
                        refused.push((back.meta, None));
                    }
                }
            }
        }
        match &trigger.camera {
            Some(camera) if !meant_any => {
                error!(%camera, part = ?trigger.part, "trigger names a camera that takes none");
                let camera = self.stranger(camera);
                refused.push((enter(&camera, arrival()), refusal));
            }
            None if !meant_any => {
                warn!(part = ?trigger.part, "trigger left alone: no camera takes parts on messages");
                self.unheeded += 1;
            }
            _ => {}
        }
        refused
    }
}

impl Triggers {
    /// No camera. `product` is in force until the plant names one; a trigger that is older than `deadline` is late.
    #[must_use]
    pub fn new(product: InForce, deadline: Duration) -> Self {
        match &product {
            InForce::Unnamed => {}
            InForce::Named(product) => {
                info!(%product, "product on record is in force until the plant names one");
            }
            InForce::Unclear(why) => warn!(%why, "parts are UNJUDGED until the plant names a product"),
        }
        Self(Arc::new(Mutex::new(TriggerTable {
            lateness: Lateness::new(deadline),
            late: 0,
            last_late: None,
            last_missing: None,
            product,
            marks: VecDeque::new(),
            cameras: Vec::new(),
            strangers: Vec::new(),
            unheeded: 0,
        })))
    }

    /// A camera that takes parts on messages.
    pub(super) fn subscribe(&self, camera: CameraId) -> Receiver<Triggered> {
        let (sender, receiver) = bounded(MAX_WAITING_TRIGGERS);
        self.lock().cameras.push((camera, Some(sender)));
        receiver
    }

    /// A camera takes no more: what it has been handed until now is all it will ever be handed.
    pub(super) fn leave(&self, camera: &CameraId) {
        for (_, sender) in self.lock().cameras.iter_mut().filter(|(id, _)| id == camera) {
            *sender = None;
        }
    }

    /// The product in force.
    pub(super) fn product(&self) -> InForce {
        self.lock().product.clone()
    }

    /// Triggers that no camera was meant by, since the start.
    pub(super) fn unheeded(&self) -> u64 {
        self.lock().unheeded
    }

    /// Triggers that came late, or not at all, since the start.
    pub(super) fn late(&self) -> LateTriggers {
        let state = self.lock();
        let now = Instant::now();
        let last = state.last_late.as_ref().filter(|(at, _)| now < *at + LATE_TRIGGER_REPORT_TIME);
        LateTriggers {
            late: state.late,
            last: last.map(|(_, what)| what.clone()),
            missing: state.lateness.missing(),
            misses: state.last_missing.is_some_and(|at| now < at + LATE_TRIGGER_REPORT_TIME),
        }
    }

    /// Acts on one message. A trigger is a part for each camera that it is meant for, from now on and whatever the camera
    /// does: `enter` makes it one. One that came late is a part without a picture. Gives the parts that no camera takes, for
    /// the caller to book.
    ///
    /// A mark that was used before is the plant's business: it is said in the log, and the part is one of its own; what the
    /// gate is told of it is decided with its verdict.
    pub(super) fn route(&self, arrived: Arrived, enter: impl Fn(&CameraId, PartRegistration) -> PartMeta) -> Routed {
        let Arrived { message, promptness, receipt } = arrived;
        match message {
            Inbound::Product { product, at } => {
                info!(product = %product.product, "product changed; the next trigger uses it");
                self.change_over(InForce::Named(product.product.clone()), Some(product.product), at, receipt)
            }
            Inbound::UnclearProduct { error, begins, at } => {
                let error = chain(&error);
                warn!(%error, %begins, "change-over from the plant cannot be read; parts are UNJUDGED until one can");
                let unclear = InForce::Unclear(format!("{error}; it begins with {begins}").into());
                self.change_over(unclear, None, at, receipt)
            }
            Inbound::Fault(fault) => {
                warn!(error = %chain(&fault), "message from the plant refused");
                receipt.settle();
                Routed::default()
            }
            Inbound::UnclearTrigger { unclear, begins, at } => {
                warn!(error = %chain(&unclear), %begins, "trigger is not certain; its part is UNJUDGED");
                let mut state = self.lock();
                let age = state.age(&unclear.trigger, at, promptness);
                let refused = state.book(&unclear.trigger, at, age, Some(Reason::Trigger), &receipt, enter);
                Routed::parts(refused, receipt)
            }
            Inbound::Trigger { trigger, at } => {
                let mut state = self.lock();
                state.note_mark(trigger.part.as_ref());
                let age = state.age(&trigger, at, promptness);
                let refusal = state.product.refusal();
                Routed::parts(state.book(&trigger, at, age, refusal, &receipt, enter), receipt)
            }
        }
    }

    fn change_over(&self, to: InForce, product: Option<ProductName>, at: Stamp, receipt: Receipt) -> Routed {
        self.lock().product = to;
        Routed { product: Some((product, at, receipt)), ..Routed::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, TriggerTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use diad_core::frame::PartKey;
    use diad_core::name::ProductName;
    use diad_publish::wire::{Begins, ProductMessage};

    use super::*;

    fn enter(camera: &CameraId, arrival: PartRegistration) -> PartMeta {
        let PartRegistration { part, product, source, captured, .. } = arrival;
        PartMeta { key: PartKey { camera: camera.clone(), seq: 1 }, part, product, source, captured }
    }

    fn camera(id: &str) -> CameraId {
        CameraId::try_new(id).unwrap()
    }

    fn now() -> Stamp {
        Stamp { wall: SystemTime::now(), mono: Instant::now() }
    }

    fn trigger(json: &str) -> Arrived {
        Arrived::prompt(match TriggerMessage::parse("factory/L1/S1/trigger", json.as_bytes()) {
            Ok(trigger) => Inbound::Trigger { trigger, at: now() },
            Err(unclear) => Inbound::UnclearTrigger { unclear, begins: Begins::of(json.as_bytes()), at: now() },
        })
    }

    fn product(json: &str) -> Arrived {
        Arrived::prompt(match ProductMessage::parse("factory/L1/S1/product", json.as_bytes()) {
            Ok(product) => Inbound::Product { product, at: now() },
            Err(error) => Inbound::UnclearProduct { error, begins: Begins::of(json.as_bytes()), at: now() },
        })
    }

    const DEADLINE: Duration = Duration::from_millis(200);

    #[test]
    fn route_to_a_camera_that_has_ended_gives_the_part_back() {
        let triggers = Triggers::new(InForce::Unnamed, DEADLINE);
        let waiting = triggers.subscribe(camera("cam0"));
        assert!(triggers.route(trigger(r#"{"part":"P-1"}"#), enter).refused.is_empty());
        triggers.leave(&camera("cam0"));
        for json in [r#"{"part":"P-2"}"#, r#"{"part":"P-2","camera":"cam0"}"#] {
            let refused = triggers.route(trigger(json), enter).refused;
            assert_eq!(refused.len(), 1);
            assert_eq!((&refused[0].0.key.camera, refused[0].1), (&camera("cam0"), None));
        }
        assert_eq!(waiting.try_iter().count(), 1, "what came before is still there");
    }

    #[test]
    fn route_to_one_of_two_cameras_leaves_the_other_alone() {
        let triggers = Triggers::new(InForce::Unnamed, DEADLINE);
        let (first, second) = (triggers.subscribe(camera("cam0")), triggers.subscribe(camera("cam1")));
        assert!(triggers.route(trigger(r#"{"part":"P-1","camera":"cam1"}"#), enter).refused.is_empty());
        assert_eq!((first.len(), second.len()), (0, 1));
        assert!(triggers.route(trigger(r#"{"part":"P-2"}"#), enter).refused.is_empty());
        assert_eq!((first.len(), second.len()), (1, 2));
    }

    #[test]
    fn route_to_any_number_of_cameras_that_are_none_books_every_part_under_a_few_names() {
        let triggers = Triggers::new(InForce::Unnamed, DEADLINE);
        let waiting = triggers.subscribe(camera("cam0"));
        let booked: Vec<_> = (0..100)
            .chain(0..2)
            .flat_map(|i| triggers.route(trigger(&format!(r#"{{"part":"P","camera":"serial-{i}"}}"#)), enter).refused)
            .map(|(meta, _)| meta.key.camera.to_string())
            .collect();
        assert_eq!((booked.len(), waiting.len()), (102, 0));
        assert_eq!(booked[99..], ["serial-15", "serial-0", "serial-1"]);
        assert_eq!(booked.iter().collect::<std::collections::BTreeSet<_>>().len(), MAX_UNKNOWN_CAMERAS);
    }

    #[test]
    fn route_at_a_station_that_takes_no_messages_counts_what_it_leaves_alone() {
        let triggers = Triggers::new(InForce::Unnamed, DEADLINE);
        for part in 0..3 {
            assert!(triggers.route(trigger(&format!(r#"{{"part":"P-{part}"}}"#)), enter).refused.is_empty());
        }
        assert_eq!(triggers.unheeded(), 3);
    }

    #[test]
    fn product_of_the_start_is_in_force_until_the_plant_names_one() {
        let triggers = Triggers::new(InForce::Named(ProductName::try_new("washer").unwrap()), DEADLINE);
        let waiting = triggers.subscribe(camera("cam0"));
        triggers.route(trigger(r#"{"part":"P-1"}"#), enter);
        triggers.route(product(r#"{"product":"gear"}"#), enter);
        triggers.route(trigger(r#"{"part":"P-2"}"#), enter);
        let products: Vec<_> = waiting.try_iter().map(|part| part.meta.product.unwrap().to_string()).collect();
        assert_eq!(products, ["washer", "gear"]);
    }

    #[test]
    fn route_of_a_trigger_that_is_not_certain_is_a_part_of_every_camera_it_may_be_meant_for() {
        let triggers = Triggers::new(InForce::Unnamed, DEADLINE);
        let waiting = [triggers.subscribe(camera("cam0")), triggers.subscribe(camera("cam1"))];
        for (json, want) in [
            ("P-6", &[("cam0", None), ("cam1", None)][..]),
            (r#"{"Part":"P-1","camera":"cam1"}"#, &[("cam1", None)]),
            (r#"{"part":"P-3\u0000old","camera":"cam0"}"#, &[("cam0", Some("P-3"))]),
            (r#"{"part":true,"camera":"cam7"}"#, &[("cam7", None)]),
        ] {
            let refused = triggers.route(trigger(json), enter).refused;
            let found: Vec<_> = refused
                .iter()
                .map(|(meta, _)| (meta.key.camera.as_str(), meta.part.as_ref().map(PartId::as_str)))
                .collect();
            assert_eq!(found, want, "{json}");
            assert!(refused.iter().all(|(_, reason)| *reason == Some(Reason::Trigger)), "{json}");
        }
        assert!(waiting.iter().all(Receiver::is_empty), "no camera takes a picture for them");
        let none = Triggers::new(InForce::Unnamed, DEADLINE);
        assert!(none.route(trigger("P-6"), enter).refused.is_empty());
        assert_eq!(none.unheeded(), 1);
    }

    #[test]
    fn route_after_a_change_over_that_cannot_be_read_refuses_parts_until_one_can() {
        let triggers = Triggers::new(InForce::Named(ProductName::try_new("circuit").unwrap()), DEADLINE);
        let waiting = triggers.subscribe(camera("cam0"));
        assert!(triggers.route(product(r#"{"product":"big washer"}"#), enter).refused.is_empty());
        assert!(matches!(triggers.product(), InForce::Unclear(why) if why.contains("it begins with 7b 22")));
        let refused = triggers.route(trigger(r#"{"part":"b"}"#), enter).refused;
        let [(meta, Some(Reason::Product))] = &refused[..] else { panic!("{refused:?}") };
        assert_eq!((meta.product.as_ref(), waiting.len()), (None, 0));
        triggers.route(product(r#"{"product":"washer"}"#), enter);
        assert!(triggers.route(trigger(r#"{"part":"c"}"#), enter).refused.is_empty());
        assert_eq!(waiting.try_recv().unwrap().meta.product, ProductName::try_new("washer").ok());
    }

    #[test]
    fn route_takes_parts_without_a_mark_and_remembers_none() {
        let triggers = Triggers::new(InForce::Unnamed, DEADLINE);
        let waiting = triggers.subscribe(camera("cam0"));
        for json in ["{}", r#"{"part":null}"#] {
            assert!(triggers.route(trigger(json), enter).refused.is_empty());
        }
        assert!(waiting.try_iter().all(|part| part.meta.part.is_none()));
        assert!(triggers.lock().marks.is_empty());
    }

    #[test]
    fn route_beyond_what_may_wait_gives_the_newest_back() {
        let triggers = Triggers::new(InForce::Unnamed, DEADLINE);
        let waiting = triggers.subscribe(camera("cam0"));
        let refused: usize = (0..MAX_WAITING_TRIGGERS + 3)
            .map(|i| triggers.route(trigger(&format!(r#"{{"part":"P-{i}"}}"#)), enter).refused.len())
            .sum();
        assert_eq!((waiting.len(), refused), (MAX_WAITING_TRIGGERS, 3));
    }

    #[test]
    fn route_of_a_late_trigger_makes_a_part_for_each_camera_and_asks_none_for_a_picture() {
        let triggers = Triggers::new(InForce::Unnamed, DEADLINE);
        let waiting = [triggers.subscribe(camera("cam0")), triggers.subscribe(camera("cam1"))];
        let late = || Arrived {
            promptness: Promptness::Suspect(diad_publish::Suspicion::Redelivered),
            ..trigger(r#"{"part":"P-1"}"#)
        };
        let routed = triggers.route(late(), enter);
        let late = Some(Reason::LateTrigger);
        assert!(
            matches!(&routed.refused[..], [(_, first), (_, second)] if [*first, *second] == [late; 2]),
            "{routed:?}"
        );
        assert_eq!(waiting.map(|waiting| waiting.len()), [0, 0]);
        let told = triggers.late();
        assert_eq!((told.late, told.missing, told.misses), (1, 0, false));
        assert!(told.last.unwrap().contains("P-1"));
    }

    #[test]
    fn route_of_a_trigger_that_shows_its_time_runs_the_deadline_from_there() {
        let triggers = Triggers::new(InForce::Unnamed, DEADLINE);
        let waiting = triggers.subscribe(camera("cam0"));
        let mut arrived = trigger(r#"{"part":"P-1"}"#);
        arrived.promptness = Promptness::Suspect(diad_publish::Suspicion::Connection);
        let Inbound::Trigger { trigger, at } = &mut arrived.message else { unreachable!() };
        trigger.at = Some(at.wall - Duration::from_millis(120));
        let heard = at.mono;
        assert!(triggers.route(arrived, enter).refused.is_empty());
        let part = waiting.recv().unwrap();
        assert_eq!((part.heard, heard - part.meta.captured.mono), (heard, Duration::from_millis(120)));
    }
}

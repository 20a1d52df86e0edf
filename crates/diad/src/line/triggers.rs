//! What makes a picture a part: the trigger of each camera, and the product in force when it fires.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use diad_core::event::Reason;
use diad_core::frame::{PartMeta, Stamp};
use diad_core::name::{CameraId, PartId};
use diad_publish::wire::{Inbound, TriggerMessage};
use tracing::{error, info, warn};

use super::desk::Arrival;
use crate::chain::chain;
use crate::products::InForce;

/// Trigger messages that may wait for one camera. A plant that sends more than this ahead of its parts is out of step.
const WAITING_TRIGGERS: usize = 64;

/// Marks of the last parts that are remembered, to tell a plant that it repeats one.
const REMEMBERED: usize = 256;

/// Cameras without a trigger of their own, or that are none, whose parts are told apart. A plant that writes something else
/// into `camera` must not fill the memory: what further names bring is booked under the last of these.
const STRANGERS: usize = 16;

/// Hands trigger messages to the cameras they are meant for, in the order in which they came, and keeps the product.
#[derive(Debug, Clone)]
pub struct Triggers(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    product: InForce,
    marks: VecDeque<PartId>,
    /// None once the camera has ended: its parts are refused, which is not the same as having no such camera.
    cameras: Vec<(CameraId, Option<Sender<PartMeta>>)>,
    strangers: Vec<CameraId>,
    /// Triggers for all cameras of a station none of whose cameras takes any.
    unheeded: u64,
}

impl State {
    /// The name to book a part under whose trigger names a camera that takes none.
    fn stranger(&mut self, named: &CameraId) -> CameraId {
        if !self.strangers.contains(named) && self.strangers.len() < STRANGERS {
            self.strangers.push(named.clone());
        }
        let known = self.strangers.iter().find(|known| *known == named).or(self.strangers.last());
        known.unwrap_or(named).clone()
    }
}

/// A part that no camera takes, and why it is not judged: none where its camera has ended or is not there.
pub(super) type Refused = (PartMeta, Option<Reason>);

impl Triggers {
    /// No camera. `product` is in force until the plant names one.
    #[must_use]
    pub fn new(product: InForce) -> Self {
        match &product {
            InForce::Unnamed => {}
            InForce::Named(product) => {
                info!(%product, "product of the last part on record is in force until the plant names one");
            }
            InForce::Unclear(why) => warn!(%why, "parts are UNJUDGED until the plant names a product"),
        }
        Self(Arc::new(Mutex::new(State { product, ..State::default() })))
    }

    /// A camera that takes parts on messages.
    pub(super) fn subscribe(&self, camera: CameraId) -> Receiver<PartMeta> {
        let (sender, receiver) = bounded(WAITING_TRIGGERS);
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

    /// Acts on one message. A trigger is a part for each camera that it is meant for, from now on and whatever the camera
    /// does: `enter` makes it one. Gives the parts that no camera takes; the caller books each as one that no camera saw.
    ///
    /// A trigger whose meaning is not certain is a part that is not judged, and so is every one after a change-over that
    /// could not be read. A mark that was used before is the plant's business: it is said in the log, and the part is one
    /// of its own.
    pub(super) fn route(&self, message: Inbound, enter: impl Fn(&CameraId, Arrival) -> PartMeta) -> Vec<Refused> {
        match message {
            Inbound::Product { product, .. } => {
                info!(product = %product.product, "product changed; the next trigger uses it");
                self.lock().product = InForce::Named(product.product);
                Vec::new()
            }
            Inbound::UnclearProduct { error, begins, .. } => {
                let error = chain(&error);
                warn!(%error, %begins, "change-over from the plant cannot be read; parts are UNJUDGED until one can");
                self.lock().product = InForce::Unclear(format!("{error}; it begins with {begins}").into());
                Vec::new()
            }
            Inbound::Fault(fault) => {
                warn!(error = %chain(&fault), "message from the plant refused");
                Vec::new()
            }
            Inbound::UnclearTrigger { unclear, begins, at } => {
                warn!(error = %chain(&unclear), %begins, "trigger is not certain; its part is UNJUDGED");
                self.lock().book(&unclear.trigger, at, Some(Reason::Trigger), enter)
            }
            Inbound::Trigger { trigger, at } => {
                let mut state = self.lock();
                if let Some(part) = &trigger.part {
                    if state.marks.contains(part) {
                        warn!(?part, "trigger repeats the mark of an earlier part; it is a part of its own");
                    }
                    state.marks.truncate(REMEMBERED - 1);
                    state.marks.push_front(part.clone());
                }
                let refusal = state.product.refusal();
                state.book(&trigger, at, refusal, enter)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes a trigger a part of every camera that it is meant for. With a `refusal` no camera is asked to take it.
    fn book(
        &mut self,
        trigger: &TriggerMessage,
        at: Stamp,
        refusal: Option<Reason>,
        enter: impl Fn(&CameraId, Arrival) -> PartMeta,
    ) -> Vec<Refused> {
        let product = self.product.product().cloned();
        let arrival = || Arrival { part: trigger.part.clone(), product: product.clone(), source: None, captured: at };
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
                    if let Err(TrySendError::Full(meta) | TrySendError::Disconnected(meta)) = sender.try_send(meta) {
                        error!(%camera, waiting = WAITING_TRIGGERS, "trigger not taken: too many wait already");
                        refused.push((meta, None));
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

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use diad_core::frame::PartKey;
    use diad_core::name::ProductName;
    use diad_publish::wire::{Begins, ProductMessage};

    use super::*;

    fn enter(camera: &CameraId, arrival: Arrival) -> PartMeta {
        let Arrival { part, product, source, captured } = arrival;
        PartMeta { key: PartKey { camera: camera.clone(), seq: 1 }, part, product, source, captured }
    }

    fn camera(id: &str) -> CameraId {
        CameraId::try_new(id).unwrap()
    }

    fn now() -> Stamp {
        Stamp { wall: SystemTime::now(), mono: Instant::now() }
    }

    fn trigger(json: &str) -> Inbound {
        match TriggerMessage::parse("factory/L1/S1/trigger", json.as_bytes()) {
            Ok(trigger) => Inbound::Trigger { trigger, at: now() },
            Err(unclear) => Inbound::UnclearTrigger { unclear, begins: Begins::of(json.as_bytes()), at: now() },
        }
    }

    fn product(json: &str) -> Inbound {
        match ProductMessage::parse("factory/L1/S1/product", json.as_bytes()) {
            Ok(product) => Inbound::Product { product, at: now() },
            Err(error) => Inbound::UnclearProduct { error, begins: Begins::of(json.as_bytes()), at: now() },
        }
    }

    #[test]
    fn route_to_a_camera_that_has_ended_gives_the_part_back() {
        let triggers = Triggers::new(InForce::Unnamed);
        let waiting = triggers.subscribe(camera("cam0"));
        assert!(triggers.route(trigger(r#"{"part":"P-1"}"#), enter).is_empty());
        triggers.leave(&camera("cam0"));
        for json in [r#"{"part":"P-2"}"#, r#"{"part":"P-2","camera":"cam0"}"#] {
            let refused = triggers.route(trigger(json), enter);
            assert_eq!(refused.len(), 1);
            assert_eq!((&refused[0].0.key.camera, refused[0].1), (&camera("cam0"), None));
        }
        assert_eq!(waiting.try_iter().count(), 1, "what came before is still there");
    }

    #[test]
    fn route_to_one_of_two_cameras_leaves_the_other_alone() {
        let triggers = Triggers::new(InForce::Unnamed);
        let (first, second) = (triggers.subscribe(camera("cam0")), triggers.subscribe(camera("cam1")));
        assert!(triggers.route(trigger(r#"{"part":"P-1","camera":"cam1"}"#), enter).is_empty());
        assert_eq!((first.len(), second.len()), (0, 1));
        assert!(triggers.route(trigger(r#"{"part":"P-2"}"#), enter).is_empty());
        assert_eq!((first.len(), second.len()), (1, 2));
    }

    #[test]
    fn route_to_any_number_of_cameras_that_are_none_books_every_part_under_a_few_names() {
        let triggers = Triggers::new(InForce::Unnamed);
        let waiting = triggers.subscribe(camera("cam0"));
        let booked: Vec<_> = (0..100)
            .chain(0..2)
            .flat_map(|i| triggers.route(trigger(&format!(r#"{{"part":"P","camera":"serial-{i}"}}"#)), enter))
            .map(|(meta, _)| meta.key.camera.to_string())
            .collect();
        assert_eq!((booked.len(), waiting.len()), (102, 0));
        assert_eq!(booked[99..], ["serial-15", "serial-0", "serial-1"]);
        assert_eq!(booked.iter().collect::<std::collections::BTreeSet<_>>().len(), STRANGERS);
    }

    #[test]
    fn route_at_a_station_that_takes_no_messages_counts_what_it_leaves_alone() {
        let triggers = Triggers::new(InForce::Unnamed);
        for part in 0..3 {
            assert!(triggers.route(trigger(&format!(r#"{{"part":"P-{part}"}}"#)), enter).is_empty());
        }
        assert_eq!(triggers.unheeded(), 3);
    }

    #[test]
    fn product_of_the_start_is_in_force_until_the_plant_names_one() {
        let triggers = Triggers::new(InForce::Named(ProductName::try_new("washer").unwrap()));
        let waiting = triggers.subscribe(camera("cam0"));
        triggers.route(trigger(r#"{"part":"P-1"}"#), enter);
        triggers.route(product(r#"{"product":"gear"}"#), enter);
        triggers.route(trigger(r#"{"part":"P-2"}"#), enter);
        let products: Vec<_> = waiting.try_iter().map(|meta| meta.product.unwrap().to_string()).collect();
        assert_eq!(products, ["washer", "gear"]);
    }

    #[test]
    fn route_of_a_trigger_that_is_not_certain_is_a_part_of_every_camera_it_may_be_meant_for() {
        let triggers = Triggers::new(InForce::Unnamed);
        let waiting = [triggers.subscribe(camera("cam0")), triggers.subscribe(camera("cam1"))];
        for (json, want) in [
            ("P-6", &[("cam0", None), ("cam1", None)][..]),
            (r#"{"Part":"P-1","camera":"cam1"}"#, &[("cam1", None)]),
            (r#"{"part":"P-3\u0000old","camera":"cam0"}"#, &[("cam0", Some("P-3"))]),
            (r#"{"part":true,"camera":"cam7"}"#, &[("cam7", None)]),
        ] {
            let refused = triggers.route(trigger(json), enter);
            let found: Vec<_> = refused
                .iter()
                .map(|(meta, _)| (meta.key.camera.as_str(), meta.part.as_ref().map(PartId::as_str)))
                .collect();
            assert_eq!(found, want, "{json}");
            assert!(refused.iter().all(|(_, reason)| *reason == Some(Reason::Trigger)), "{json}");
        }
        assert!(waiting.iter().all(Receiver::is_empty), "no camera takes a picture for them");
        let none = Triggers::new(InForce::Unnamed);
        assert!(none.route(trigger("P-6"), enter).is_empty());
        assert_eq!(none.unheeded(), 1);
    }

    #[test]
    fn route_after_a_change_over_that_cannot_be_read_refuses_parts_until_one_can() {
        let triggers = Triggers::new(InForce::Named(ProductName::try_new("circuit").unwrap()));
        let waiting = triggers.subscribe(camera("cam0"));
        assert!(triggers.route(product(r#"{"product":"big washer"}"#), enter).is_empty());
        assert!(matches!(triggers.product(), InForce::Unclear(why) if why.contains("it begins with 7b 22")));
        let refused = triggers.route(trigger(r#"{"part":"b"}"#), enter);
        let [(meta, Some(Reason::Product))] = &refused[..] else { panic!("{refused:?}") };
        assert_eq!((meta.product.as_ref(), waiting.len()), (None, 0));
        triggers.route(product(r#"{"product":"washer"}"#), enter);
        assert!(triggers.route(trigger(r#"{"part":"c"}"#), enter).is_empty());
        assert_eq!(waiting.try_recv().unwrap().product, ProductName::try_new("washer").ok());
    }

    #[test]
    fn route_takes_parts_without_a_mark_and_remembers_none() {
        let triggers = Triggers::new(InForce::Unnamed);
        let waiting = triggers.subscribe(camera("cam0"));
        for json in ["{}", r#"{"part":null}"#] {
            assert!(triggers.route(trigger(json), enter).is_empty());
        }
        assert!(waiting.try_iter().all(|meta| meta.part.is_none()));
        assert!(triggers.lock().marks.is_empty());
    }

    #[test]
    fn route_beyond_what_may_wait_gives_the_newest_back() {
        let triggers = Triggers::new(InForce::Unnamed);
        let waiting = triggers.subscribe(camera("cam0"));
        let refused: usize = (0..WAITING_TRIGGERS + 3)
            .map(|i| triggers.route(trigger(&format!(r#"{{"part":"P-{i}"}}"#)), enter).len())
            .sum();
        assert_eq!((waiting.len(), refused), (WAITING_TRIGGERS, 3));
    }
}

//! What makes a picture a part: the trigger of each camera, and the product in force when it fires.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use diad_core::frame::PartMeta;
use diad_core::name::{CameraId, PartId, ProductName};
use diad_publish::wire::Inbound;
use tracing::{error, info, warn};

use super::desk::Arrival;
use crate::chain::chain;

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
    product: Option<ProductName>,
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

impl Triggers {
    /// No camera. `product` is in force until the plant names one.
    #[must_use]
    pub fn new(product: Option<ProductName>) -> Self {
        if let Some(product) = &product {
            info!(%product, "product of the last part on record is in force until the plant names one");
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
    pub(super) fn product(&self) -> Option<ProductName> {
        self.lock().product.clone()
    }

    /// Triggers that no camera was meant by, since the start.
    pub(super) fn unheeded(&self) -> u64 {
        self.lock().unheeded
    }

    /// Acts on one message. A trigger is a part for each camera that it is meant for, from now on and whatever the camera
    /// does: `enter` makes it one. Gives the parts that no camera could take; the caller books each as one that no camera
    /// saw.
    ///
    /// A mark that was used before is the plant's business: it is said in the log, and the part is one of its own.
    pub(super) fn route(&self, message: Inbound, enter: impl Fn(&CameraId, Arrival) -> PartMeta) -> Vec<PartMeta> {
        match message {
            Inbound::Product { product, .. } => {
                info!(product = %product.product, "product changed; the next trigger uses it");
                self.lock().product = Some(product.product);
                Vec::new()
            }
            Inbound::Fault(fault) => {
                warn!(error = %chain(&fault), "message from the plant refused");
                Vec::new()
            }
            Inbound::Trigger { trigger, at } => {
                let mut state = self.lock();
                if state.marks.contains(&trigger.part) {
                    warn!(part = %trigger.part, "trigger repeats the mark of an earlier part; it is a part of its own");
                }
                state.marks.truncate(REMEMBERED - 1);
                state.marks.push_front(trigger.part.clone());
                let product = state.product.clone();
                let arrival = || Arrival {
                    part: Some(trigger.part.clone()),
                    product: product.clone(),
                    source: None,
                    captured: at,
                };
                let meant = |id: &CameraId| trigger.camera.as_ref().is_none_or(|wanted| wanted == id);
                let mut refused = Vec::new();
                let mut meant_any = false;
                for (camera, sender) in state.cameras.iter().filter(|(id, _)| meant(id)) {
                    meant_any = true;
                    let meta = enter(camera, arrival());
                    let Some(sender) = sender else {
                        error!(%camera, "trigger not taken: the camera has ended");
                        refused.push(meta);
                        continue;
                    };
                    if let Err(TrySendError::Full(meta) | TrySendError::Disconnected(meta)) = sender.try_send(meta) {
                        error!(%camera, waiting = WAITING_TRIGGERS, "trigger not taken: too many wait already");
                        refused.push(meta);
                    }
                }
                match &trigger.camera {
                    Some(camera) if !meant_any => {
                        error!(%camera, part = %trigger.part, "trigger names a camera that takes none");
                        let camera = state.stranger(camera);
                        refused.push(enter(&camera, arrival()));
                    }
                    None if !meant_any => {
                        warn!(part = %trigger.part, "trigger left alone: no camera takes parts on messages");
                        state.unheeded += 1;
                    }
                    _ => {}
                }
                refused
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use diad_core::frame::{PartKey, Stamp};

    use super::*;

    fn enter(camera: &CameraId, arrival: Arrival) -> PartMeta {
        let Arrival { part, product, source, captured } = arrival;
        PartMeta { key: PartKey { camera: camera.clone(), seq: 1 }, part, product, source, captured }
    }

    fn camera(id: &str) -> CameraId {
        CameraId::try_new(id).unwrap()
    }

    fn trigger(json: &str) -> Inbound {
        let trigger = diad_publish::wire::TriggerMessage::parse("factory/L1/S1/trigger", json.as_bytes()).unwrap();
        Inbound::Trigger { trigger, at: Stamp { wall: SystemTime::now(), mono: Instant::now() } }
    }

    #[test]
    fn route_to_a_camera_that_has_ended_gives_the_part_back() {
        let triggers = Triggers::new(None);
        let waiting = triggers.subscribe(camera("cam0"));
        assert!(triggers.route(trigger(r#"{"part":"P-1"}"#), enter).is_empty());
        triggers.leave(&camera("cam0"));
        for json in [r#"{"part":"P-2"}"#, r#"{"part":"P-2","camera":"cam0"}"#] {
            let refused = triggers.route(trigger(json), enter);
            assert_eq!(refused.len(), 1);
            assert_eq!(refused[0].key.camera, camera("cam0"));
        }
        assert_eq!(waiting.try_iter().count(), 1, "what came before is still there");
    }

    #[test]
    fn route_to_one_of_two_cameras_leaves_the_other_alone() {
        let triggers = Triggers::new(None);
        let (first, second) = (triggers.subscribe(camera("cam0")), triggers.subscribe(camera("cam1")));
        assert!(triggers.route(trigger(r#"{"part":"P-1","camera":"cam1"}"#), enter).is_empty());
        assert_eq!((first.len(), second.len()), (0, 1));
        assert!(triggers.route(trigger(r#"{"part":"P-2"}"#), enter).is_empty());
        assert_eq!((first.len(), second.len()), (1, 2));
    }

    #[test]
    fn route_to_any_number_of_cameras_that_are_none_books_every_part_under_a_few_names() {
        let triggers = Triggers::new(None);
        let waiting = triggers.subscribe(camera("cam0"));
        let booked: Vec<_> = (0..100)
            .chain(0..2)
            .flat_map(|i| triggers.route(trigger(&format!(r#"{{"part":"P","camera":"serial-{i}"}}"#)), enter))
            .map(|meta| meta.key.camera.to_string())
            .collect();
        assert_eq!((booked.len(), waiting.len()), (102, 0));
        assert_eq!(booked[99..], ["serial-15", "serial-0", "serial-1"]);
        assert_eq!(booked.iter().collect::<std::collections::BTreeSet<_>>().len(), STRANGERS);
    }

    #[test]
    fn route_at_a_station_that_takes_no_messages_counts_what_it_leaves_alone() {
        let triggers = Triggers::new(None);
        for part in 0..3 {
            assert!(triggers.route(trigger(&format!(r#"{{"part":"P-{part}"}}"#)), enter).is_empty());
        }
        assert_eq!(triggers.unheeded(), 3);
    }

    #[test]
    fn product_of_the_start_is_in_force_until_the_plant_names_one() {
        let triggers = Triggers::new(ProductName::try_new("washer").ok());
        let waiting = triggers.subscribe(camera("cam0"));
        triggers.route(trigger(r#"{"part":"P-1"}"#), enter);
        let product =
            diad_publish::wire::ProductMessage::parse("factory/L1/S1/product", br#"{"product":"gear"}"#).unwrap();
        let at = Stamp { wall: SystemTime::now(), mono: Instant::now() };
        triggers.route(Inbound::Product { product, at }, enter);
        triggers.route(trigger(r#"{"part":"P-2"}"#), enter);
        let products: Vec<_> = waiting.try_iter().map(|meta| meta.product.unwrap().to_string()).collect();
        assert_eq!(products, ["washer", "gear"]);
    }

    #[test]
    fn route_beyond_what_may_wait_gives_the_newest_back() {
        let triggers = Triggers::new(None);
        let waiting = triggers.subscribe(camera("cam0"));
        let refused: usize = (0..WAITING_TRIGGERS + 3)
            .map(|i| triggers.route(trigger(&format!(r#"{{"part":"P-{i}"}}"#)), enter).len())
            .sum();
        assert_eq!((waiting.len(), refused), (WAITING_TRIGGERS, 3));
    }
}

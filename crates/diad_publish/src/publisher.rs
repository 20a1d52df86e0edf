//! The handle of the link.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, bounded};
use diad_core::event::InspectionEvent;

use crate::arrived::Arrived;
use crate::broker::{Broker, PublishError};
use crate::desk::{Desk, DrainReport, GateBit, LinkStatus, Order, OutgoingVerdict, SharedLink};
use crate::link::{Link, OFFLINE_ACK_TIMEOUT, Watch, transit};
use crate::outbox::{Outbox, Ticket};
use crate::settings::{LinkSettings, PayloadKind};
use crate::sparkplug::{EdgeNode, Mirror};
use crate::topic::{NodeTopics, TopicRoot, Topics};
use crate::wire::{Digests, Heartbeat, OnUnjudged, RejectBit, State, StateMessage, Station, VerdictMessage};

/// Time for a Sparkplug node to say its death after the link has ended; within [`LINK_JOIN_TIMEOUT`].
const NODE_DEATH_TIMEOUT: Duration = Duration::from_millis(150);

/// Inbound messages that may wait for the process.
const INBOUND_CAPACITY: usize = 1024;

/// How long after its deadline a part may still be at the gate: time for the record and the broker. Later than that its
/// reject bit would meet another part.
const GATE_SLACK: Duration = Duration::from_millis(500);

/// Time beyond the deadline in which the link's thread must have ended.
const LINK_JOIN_TIMEOUT: Duration = Duration::from_millis(250);

/// Everything that the link is told at the start.
#[derive(Debug, Clone)]
pub struct PublisherSettings {
    /// The broker.
    pub link: LinkSettings,
    /// First levels of every topic.
    pub root: TopicRoot,
    /// Who speaks.
    pub station: Station,
    /// What the reject line does with an unjudged part.
    pub on_unjudged: OnUnjudged,
    /// Time from capture to verdict that the station promises, in milliseconds.
    pub deadline_ms: u32,
    /// Whether parts are triggered by messages: then the link asks the broker ten times a second for a sign of life, so that
    /// every trigger comes with what is known of its age.
    pub watch_triggers: bool,
    /// Verdicts kept without acknowledgement, at most; [`PublisherSettings::OUTBOX_CAPACITY`] unless tested.
    pub outbox_capacity: NonZeroUsize,
}

impl PublisherSettings {
    /// A day of parts at one a second, in some 50 MB.
    pub const OUTBOX_CAPACITY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(99_999);
}

/// How delivery stands, for a caller that keeps a record of its verdicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Which connection there is, counted from 1. Over each new one, everything unacknowledged is to be brought again.
    pub connection: Option<u64>,
    /// Verdicts acknowledged since the last call, and when. They count as unacknowledged to nobody but the record until it has
    /// marked them.
    pub acknowledged: Vec<(Ticket, SystemTime)>,
    /// Verdicts were forgotten although there was a connection: bring what is unacknowledged again.
    pub spilled: bool,
}

/// The station's voice and ear. Its one thread, `mqtt`, lives until [`Publisher::drain`] or until this is dropped;
/// dropped without a drain it leaves without a word, and the broker announces `offline` by the last will.
///
/// All methods take `&self` and may be called from any thread. None but `drain` waits.
pub struct Publisher {
    shared: Arc<SharedLink>,
    inbound: Receiver<Arrived>,
    station: Station,
    on_unjudged: OnUnjudged,
    deadline_ms: u32,
    done: Receiver<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Publisher {
    /// Reads the files that the settings name and starts the link. It does not wait for the broker.
    ///
    /// # Errors
    /// [`PublishError`] for files that cannot be used, and for a thread that cannot be started.
    pub fn start(settings: PublisherSettings) -> Result<Self, PublishError> {
        let PublisherSettings { link, root, station, on_unjudged, deadline_ms, watch_triggers, outbox_capacity } =
            settings;
        let broker = Broker::open(&link)?;
        let topics = Topics::new(&root, &station.line, &station.station);
        let now = SystemTime::now();
        let starting = StateMessage::new(State::Starting, "", now);
        let mut desk = Desk::new(Outbox::new(outbox_capacity), starting.clone(), now);
        let node = match link.payload() {
            PayloadKind::Json => None,
            PayloadKind::SparkplugB => {
                let mirror = Arc::new(Mirror::new(starting));
                desk.mirror = Some(Arc::clone(&mirror));
                Some((
                    EdgeNode::new(
                        Arc::clone(&mirror),
                        broker.clone(),
                        NodeTopics::new(&station.line, &station.station),
                    ),
                    mirror,
                ))
            }
        };
        let shared = Arc::new(SharedLink::new(desk));
        let (inbound_tx, inbound) = bounded(INBOUND_CAPACITY);
        // Nothing is ever sent: the sender goes with the thread, and that is the message.
        let (done_tx, done) = bounded(0);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("mqtt-lookup")
            .build()
            .map_err(PublishError::Runtime)?;
        let watch = Watch { limit: transit::limit(Duration::from_millis(deadline_ms.into())), asks: watch_triggers };
        let link = Link::new(Arc::clone(&shared), broker, topics, inbound_tx, watch);
        let ending = Arc::clone(&shared);
        // Seconds are as good as any number: the next run begins with another one.
        let first = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs().to_le_bytes()[0];
        let thread = std::thread::Builder::new()
            .name("mqtt".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let node = node.map(|(node, mirror)| (tokio::spawn(node.run(first)), mirror));
                    link.run().await;
                    // A link that leaves without a word leaves its death to the broker as well.
                    if let Some((node, mirror)) = node
                        && ending.desk().order != Order::Abandon
                    {
                        mirror.leave();
                        let _ = tokio::time::timeout(NODE_DEATH_TIMEOUT, node).await;
                    }
                });
                // An address look-up may hang for long; nobody needs its answer any more.
                runtime.shutdown_background();
                drop(done_tx);
            })
            .map_err(PublishError::Thread)?;
        let thread = Mutex::new(Some(thread));
        Ok(Self { shared, inbound, station, on_unjudged, deadline_ms, done, thread })
    }

    /// The bit that the settings give a part.
    #[must_use]
    pub const fn bit(&self, event: &InspectionEvent) -> RejectBit {
        RejectBit::of(event, self.on_unjudged)
    }

    /// Takes a verdict and its reject bit, which may be stricter than [`bit`](Self::bit) and never looser. Sent later than 0.5 s after the part's deadline, it goes out as `historical` and
    /// without the bit. `ticket` says that the caller has the verdict in a record and will bring it
    /// again when a connection ends or was not there; without one it is kept here until acknowledged. If the outbox is
    /// full, the oldest that waits and is in no record leaves, with an error in the log and a count in
    /// [`LinkStatus::dropped`].
    pub fn publish_verdict(&self, ticket: Option<Ticket>, event: &InspectionEvent, digests: &Digests, bit: RejectBit) {
        let verdict = VerdictMessage::from_event(&self.station, event, digests, self.deadline_ms);
        let until = event.meta.captured.mono + Duration::from_millis(self.deadline_ms.into()) + GATE_SLACK;
        let bit = GateBit { bit: bit.max(self.bit(event)), until };
        let parcel = OutgoingVerdict { verdict, bit: Some(bit) };
        let left = self.shared.desk().offer(ticket, parcel);
        self.shared.bell.notify_one();
        if let Some(left) = left {
            tracing::error!(part = %left.verdict.key(), "verdict dropped unacknowledged: outbox full or link ended");
        }
    }

    /// Takes verdicts out of the caller's record, to be sent as `historical` and without a reject bit: at most
    /// [`Publisher::room`] of them. What the link still has is not taken twice.
    pub fn bring(&self, verdicts: impl IntoIterator<Item = (Ticket, VerdictMessage)>) {
        let mut desk = self.shared.desk();
        for (ticket, verdict) in verdicts {
            desk.outbox.bring(ticket, OutgoingVerdict { verdict, bit: None });
        }
        drop(desk);
        self.shared.bell.notify_one();
    }

    /// How many verdicts may be brought now; 0 without a connection.
    #[must_use]
    pub fn room(&self) -> usize {
        self.shared.desk().outbox.room()
    }

    /// Whether nothing in memory waits to be sent or acknowledged.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.shared.desk().outbox.is_empty()
    }

    /// Says whether the caller's record holds verdicts that are still to be brought. While it does, newer ones that
    /// are in no record wait behind them.
    pub fn set_backlog(&self, backlog: bool) {
        self.shared.desk().outbox.set_backlog(backlog);
        self.shared.bell.notify_one();
    }

    /// What the keeper of a record needs to know at one moment.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        let mut desk = self.shared.desk();
        Delivery {
            connection: desk.status.connected.then_some(desk.status.connections),
            acknowledged: desk.outbox.take_acknowledged(),
            spilled: desk.outbox.take_spilled(),
        }
    }

    /// The caller's record is gone: what is in memory stays there until it is acknowledged, and no ticket that was given
    /// until now is ever named again.
    pub fn void_tickets(&self) {
        self.shared.desk().outbox.void_tickets();
    }

    /// Announces the station's state, retained. Only the newest is sent; it is sent again on every connection.
    /// Before the first call it is `starting`.
    pub fn set_state(&self, state: State, detail: &str) {
        self.shared.desk().set_state(StateMessage::new(state, detail, SystemTime::now()));
        self.shared.bell.notify_one();
    }

    /// Sends a heartbeat if connected, with QoS 0. To be called once a second.
    pub fn heartbeat(&self, heartbeat: Heartbeat) {
        self.shared.desk().beat(heartbeat);
        self.shared.bell.notify_one();
    }

    /// Triggers, change-overs and refused messages, in order of arrival. Clones share the messages.
    #[must_use]
    pub const fn inbound(&self) -> &Receiver<Arrived> {
        &self.inbound
    }

    /// Takes no more messages from the plant, and gives those that wait. What comes later stays with the broker for the next
    /// connection; of QoS 0 it is counted in [`LinkStatus::inbound_lost`], with an error in the log.
    #[must_use]
    pub fn close_inbound(&self) -> Vec<Arrived> {
        self.shared.desk().deaf = true;
        self.inbound.try_iter().collect()
    }

    /// How the link is.
    #[must_use]
    pub fn status(&self) -> LinkStatus {
        self.shared.desk().snapshot()
    }

    /// Grows while the link's thread lives, several times a second, connected or not: for the watchdog.
    #[must_use]
    pub fn progress(&self) -> u64 {
        self.shared.progress()
    }

    /// Waits until every verdict is acknowledged or `deadline` has come, announces `offline`, disconnects and ends
    /// the link. Returns at most 0.5 s after the deadline. Without a connection it waits for one as long as
    /// verdicts are owed. A verdict offered later is dropped and counted.
    pub fn drain(&self, deadline: Instant) -> DrainReport {
        {
            let mut desk = self.shared.desk();
            if desk.order == Order::Run {
                desk.order = Order::Drain(deadline);
            }
        }
        self.shared.bell.notify_one();
        // The one outcome besides time-out is that the thread dropped its end.
        let _ = self.done.recv_deadline(deadline + OFFLINE_ACK_TIMEOUT + LINK_JOIN_TIMEOUT);
        let desk = self.shared.desk();
        desk.ended.unwrap_or(DrainReport {
            acknowledged: desk.status.acknowledged,
            remaining: desk.outbox.len(),
            offline_acknowledged: false,
        })
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.desk().order = Order::Abandon;
        self.shared.bell.notify_one();
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("thread \"mqtt\" had panicked");
        }
    }
}

//! What a station looks at to know how it is: every source of a fault or a notice, in one table.
//!
//! The names are on the wire: in the `state` topic, on the page, and as the label `source` of the metric `diad_problem`.
//! `docs/design/states.md` is generated from the table.

use std::fmt;

use diad_core::name::CameraId;

use self::Effect::{Either, Fault, Notice};

/// Where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The count of parts and verdicts.
    Account,
    /// A broker that is away.
    Broker,
    /// Connections to the broker that end again and again.
    BrokerConnection,
    /// A camera.
    Camera(CameraId),
    /// The deadline of what goes on record.
    Deadline,
    /// The distribution of scores.
    Drift,
    /// The networks.
    Engine,
    /// Golden parts.
    Golden,
    /// The page.
    Http,
    /// Kept pictures.
    Images,
    /// Triggers that came late.
    LateTriggers,
    /// The ledger.
    Ledger,
    /// Verdicts in the ledger that the broker has not acknowledged.
    LedgerBacklog,
    /// The file beside the ledger that notes what is decided without a record.
    LedgerSlip,
    /// A message that is too long to be read.
    MessageTooLong,
    /// Messages of the plant that were lost.
    Messages,
    /// Topics on which the broker delivers nothing of what the station publishes.
    MessagesUndelivered,
    /// Triggers that no camera takes.
    MessagesUnheeded,
    /// Messages whose meaning is not certain.
    MessagesUnread,
    /// Topics on which nothing reaches the station.
    MessagesWithheld,
    /// The product in force.
    Product,
    /// The deletion of old parts.
    Retention,
    /// Equal scores.
    Score,
    /// The settings file.
    Settings,
    /// Topics that the station reads.
    Subscription,
    /// The thresholds file.
    Thresholds,
    /// Triggers that never came.
    TriggersMissing,
}

/// What a source does to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It turns `ready` to `degraded`.
    Fault,
    /// Nothing: it is shown beside the state.
    Notice,
    /// The one or the other, by what is wrong.
    Either,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceFacts {
    /// The name on the wire; behind that of a camera comes its id.
    pub name: &'static str,
    /// When it is raised, and what happens to parts meanwhile.
    pub condition: &'static str,
    /// When it is over.
    pub over: &'static str,
    /// What it does to the state.
    pub effect: Effect,
    /// The alert rules that fire, beside `DiadProblem`, which fires for every fault.
    pub alerts: &'static [&'static str],
}

impl Source {
    /// The row of this source.
    #[must_use]
    pub const fn facts(&self) -> SourceFacts {
        match self {
            Self::Account => ACCOUNT,
            Self::Broker => BROKER,
            Self::BrokerConnection => BROKER_CONNECTION,
            Self::Camera(_) => CAMERA,
            Self::Deadline => DEADLINE,
            Self::Drift => DRIFT,
            Self::Engine => ENGINE,
            Self::Golden => GOLDEN,
            Self::Http => HTTP,
            Self::Images => IMAGES,
            Self::LateTriggers => LATE_TRIGGERS,
            Self::Ledger => LEDGER,
            Self::LedgerBacklog => LEDGER_BACKLOG,
            Self::LedgerSlip => LEDGER_SLIP,
            Self::MessageTooLong => MESSAGE_TOO_LONG,
            Self::Messages => MESSAGES,
            Self::MessagesUndelivered => MESSAGES_UNDELIVERED,
            Self::MessagesUnheeded => MESSAGES_UNHEEDED,
            Self::MessagesUnread => MESSAGES_UNREAD,
            Self::MessagesWithheld => MESSAGES_WITHHELD,
            Self::Product => PRODUCT,
            Self::Retention => RETENTION,
            Self::Score => SCORE,
            Self::Settings => SETTINGS,
            Self::Subscription => SUBSCRIPTION,
            Self::Thresholds => THRESHOLDS,
            Self::TriggersMissing => TRIGGERS_MISSING,
        }
    }
}

const ACCOUNT: SourceFacts = row(
    "account",
    "parts that were counted cannot be found, or have no verdict at the end: a bug",
    "at a restart",
    Fault,
    &["DiadPartsUnaccounted"],
);

const BROKER: SourceFacts = row(
    "broker",
    "the broker is away for 5 s; the gate gets no verdict, and no part is judged where every camera takes parts on messages",
    "when the broker is reached",
    Fault,
    &["DiadBrokerAway"],
);

const BROKER_CONNECTION: SourceFacts = row(
    "broker connection",
    "connections to the broker end again and again; verdicts may be late",
    "when a connection lasts",
    Fault,
    &["DiadBrokerFlaps"],
);

const CAMERA: SourceFacts = row(
    "camera",
    "the camera does not open, was lost, or is frozen: it repeats a picture (`frozen_after`); its parts are `UNJUDGED(camera)`",
    "at its next good picture",
    Fault,
    &["DiadUnjudged"],
);

const DEADLINE: SourceFacts = row(
    "deadline",
    "verdicts were on record only after their deadline; they stand",
    "when none was late for a while",
    Fault,
    &["DiadDeadlineNear"],
);

const DRIFT: SourceFacts = row(
    "drift",
    "scores of a product have moved from those of its reference; parts are judged",
    "when they are back, or the reference is another",
    Fault,
    &[],
);

const ENGINE: SourceFacts = row(
    "engine",
    "the networks failed for several parts in a row and are loaded again; parts are `UNJUDGED(engine)`",
    "at the next judged part; if loading does not help, the process ends with 70",
    Fault,
    &["DiadUnjudged"],
);

const GOLDEN: SourceFacts = row(
    "golden",
    "golden parts came out wrong or could not be judged (fault), or a product has no bad one (notice)",
    "at the next round that comes out right",
    Either,
    &[],
);

const HTTP: SourceFacts = row(
    "http",
    "the page has no address to listen on; parts are judged",
    "when the address is free",
    Fault,
    &["DiadGone"],
);

const IMAGES: SourceFacts = row(
    "images",
    "pictures cannot be kept; verdicts go on record without them",
    "at the next picture that is kept",
    Fault,
    &["DiadDiskNearlyFull"],
);

const LATE_TRIGGERS: SourceFacts = row(
    "late triggers",
    "triggers came later than the deadline allows; their parts are `UNJUDGED(late_trigger)`",
    "when none came late for a while",
    Fault,
    &["DiadUnjudged"],
);

const LEDGER: SourceFacts = row(
    "ledger",
    "the ledger cannot be written; verdicts go out without a record",
    "when it has taken what waited",
    Fault,
    &["DiadVerdictsUnrecorded"],
);

const LEDGER_BACKLOG: SourceFacts = row(
    "ledger backlog",
    "verdicts that are owed to the broker cannot be read, or are damaged; they are not sent",
    "when all that is owed can be read",
    Fault,
    &["DiadVerdictsHeldUp"],
);

const LEDGER_SLIP: SourceFacts = row(
    "ledger slip",
    "what is decided without a record cannot be noted either",
    "when it can, or the ledger works again",
    Fault,
    &["DiadVerdictsUnrecorded"],
);

const MESSAGE_TOO_LONG: SourceFacts = row(
    "message too long",
    "a message too long to be read lies on a topic that the station reads; it is skipped",
    "when it is cleared",
    Fault,
    &[],
);

const MESSAGES: SourceFacts = row(
    "messages",
    "messages of the plant were lost, because too many came at once; a trigger's part has no verdict",
    "at a restart",
    Fault,
    &[],
);

const MESSAGES_UNDELIVERED: SourceFacts = row(
    "messages undelivered",
    "the broker does not deliver what the station publishes; verdicts stay owed",
    "when the broker delivers it",
    Fault,
    &["DiadVerdictsPileUp"],
);

const MESSAGES_UNHEEDED: SourceFacts = row(
    "messages unheeded",
    "triggers came although no camera takes messages; their parts have no verdict",
    "at a restart",
    Fault,
    &[],
);

const MESSAGES_UNREAD: SourceFacts = row(
    "messages unread",
    "messages of the plant are not certain; a trigger's part is `UNJUDGED(trigger)`",
    "a minute after the last one",
    Fault,
    &["DiadUnjudged"],
);

const MESSAGES_WITHHELD: SourceFacts = row(
    "messages withheld",
    "messages on `trigger` or `product` do not reach the station",
    "when they do",
    Fault,
    &["DiadNoParts"],
);

const PRODUCT: SourceFacts = row(
    "product",
    "the product in force is unknown or unclear (fault; its parts are `UNJUDGED(product)`, or judged by the default \
                 under `on_unknown_product: default`), or none is named (notice)",
    "at the next change-over to a known one",
    Either,
    &["DiadUnjudged"],
);

const RETENTION: SourceFacts = row(
    "retention",
    "old parts cannot be deleted, or the clock is implausible; parts are judged",
    "at the next deletion",
    Fault,
    &["DiadDiskFillsUp"],
);

const SCORE: SourceFacts = row(
    "score",
    "every part of a camera has exactly the same score; the verdicts may be right",
    "at the next other score",
    Notice,
    &[],
);

const SETTINGS: SourceFacts = row(
    "settings",
    "the settings file that SIGHUP had read is not valid; the old settings stay",
    "at the next SIGHUP with a valid file",
    Fault,
    &[],
);

const SUBSCRIPTION: SourceFacts = row(
    "subscription",
    "the broker refused the subscription to `trigger` or `product`",
    "at the next connection that grants it",
    Fault,
    &["DiadNoParts"],
);

const THRESHOLDS: SourceFacts = row(
    "thresholds",
    "a save of the thresholds file is not valid, or the file is not watched (fault), or names products that \
                 the model does not know (notice); the old thresholds stay",
    "at the next valid save",
    Either,
    &["DiadThresholdsRefused"],
);

const TRIGGERS_MISSING: SourceFacts = row(
    "triggers missing",
    "triggers never came, by the plant's own count; their parts have no verdict",
    "when the count had no gap for a while",
    Fault,
    &[],
);

const fn row(
    name: &'static str,
    condition: &'static str,
    over: &'static str,
    effect: Effect,
    alerts: &'static [&'static str],
) -> SourceFacts {
    SourceFacts { name, condition, over, effect, alerts }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.facts().name)?;
        match self {
            Self::Camera(id) => write!(f, " {id}"),
            _ => Ok(()),
        }
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

impl PartialEq<Source> for String {
    fn eq(&self, other: &Source) -> bool {
        match other {
            Source::Camera(id) => {
                self.strip_prefix(other.facts().name).and_then(|rest| rest.strip_prefix(' ')) == Some(id.as_str())
            }
            _ => self == other.facts().name,
        }
    }
}

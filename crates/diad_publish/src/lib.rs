//! Messages: what the station sends to the plant over MQTT, and what it receives.
//!
//! | file | holds |
//! |---|---|
//! | [`wire`] | the payloads, schema 1: flat JSON of at most [`wire::MAX_PAYLOAD_BYTES`] |
//! | [`topic`] | `{root}/{line}/{station}/…` |
//! | `sparkplug` | the station as a Sparkplug B edge node beside that, where the settings ask for it |
//! | [`outbox`] | verdicts until the broker has acknowledged them: pure, no clock, no network |
//! | [`settings`] | broker address, credentials and certificate authority |
//! | [`Trial`] | tries a broker for a person, beside a station that may be running |
//! | [`Publisher`] | the handle; its one thread, `mqtt`, is the only place with async code |
//!
//! # What is promised
//! - A verdict that [`Publisher::publish_verdict`] has taken with a ticket is the caller's to bring again over every new
//!   connection until it is acknowledged: an outage of any length costs no memory here.
//! - One without a ticket, because the caller's record could not be written, is kept here until the broker
//!   acknowledges it. Only the bound of the outbox can drop one: the oldest that waits, with an error in the log and
//!   a count.
//! - No call waits for the broker.
//! - After an outage live verdicts go first; those that waited follow in their order with `historical: true`.
//! - A verdict may arrive twice, always with the same content apart from `historical`; receivers drop repeats by
//!   `(line, station, camera, run, seq)`.
//! - The reject bit is a live signal and is never sent late: after an outage, or 0.5 s after its deadline, its part has
//!   left the gate, and a late bit would hit another one. The verdict still arrives, as `historical`. Silence is therefore not a pass: a controller that
//!   gets no bit for a part treats it as a reject.
//! - A message of the plant with QoS 1 is acknowledged when its [`Receipt`] is settled, and in the order of arrival: a
//!   process that is killed leaves what it has not recorded with the broker, which delivers it again.
//! - A verdict counts as acknowledged when the broker has acknowledged it and has delivered it to this station as well, which
//!   subscribes to what it writes: a broker may acknowledge what it drops. What does not come back is owed again, and
//!   [`LinkFaults`] name it, as they name messages of the plant that the broker withholds.
//! - Every message comes with what the link knows of its age: [`Promptness`].
//!
//! # Never
//! This crate never judges, never blocks a stage and never lets a broker's failure become a stage's failure.

mod arrived;
mod backoff;
mod broker;
mod clock;
mod desk;
mod handover;
mod link;
pub mod outbox;
mod publisher;
mod receipt;
pub mod settings;
mod sparkplug;
pub mod topic;
mod trial;
pub mod wire;

pub use arrived::{Arrived, Promptness, Suspicion};
pub use broker::{MAX_PASSWORD_BYTES, PublishError, check_authorities, check_client};
pub use clock::suspended;
pub use desk::{DrainReport, LinkFaults, LinkStatus};
pub use publisher::{Delivery, Publisher, PublisherSettings};
pub use receipt::Receipt;
pub use trial::{Read, StateSeen, Trial, Write};

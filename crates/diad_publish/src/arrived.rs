//! A message from the plant as it came in: what it says, what is known of its age, and the right to acknowledge it.

use std::fmt;
use std::time::Duration;

use crate::receipt::Receipt;
use crate::wire::Inbound;

/// One message from the plant.
#[derive(Debug)]
pub struct Arrived {
    /// What it says.
    pub message: Inbound,
    /// What the link knows of its age.
    pub promptness: Promptness,
    /// To be settled when what came of it is on record.
    pub receipt: Receipt,
}

impl Arrived {
    /// A message that has just been sent, and that nobody waits to see acknowledged.
    #[must_use]
    pub const fn prompt(message: Inbound) -> Self {
        Self { message, promptness: Promptness::Prompt, receipt: Receipt::none() }
    }
}

/// What a message proves of its age by coming in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promptness {
    /// The broker has sent it a moment ago: no longer than the station's deadline, and than 0.5 s. For deadlines below 0.25 s,
    /// no longer than that.
    Prompt,
    /// It may have waited on its way.
    Suspect(Suspicion),
}

/// Why a message may have waited on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// The connection is new: it may have waited for it.
    Connection,
    /// The connection was lost, or broker or network stood still, until a moment ago.
    Settling,
    /// The link has had no answer for this long: process, network or broker stood still, or the broker holds messages back.
    Stall {
        /// The most that the message may have waited.
        most: Duration,
    },
    /// The broker delivers it again.
    Redelivered,
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection => f.write_str("it may have waited for the connection"),
            Self::Settling => f.write_str("connection, network or broker came back a moment ago"),
            Self::Stall { most } => {
                write!(f, "it may have waited for {} ms on its way from the broker", most.as_millis())
            }
            Self::Redelivered => f.write_str("the broker delivered it again"),
        }
    }
}

//! The station as a Sparkplug B edge node, beside its JSON: `mqtt.payload: sparkplug_b`.
//!
//! # Why beside and not instead
//! Sparkplug sends its data with QoS 0, which nobody acknowledges, and a verdict is owed until it is acknowledged. So the
//! JSON topics stay what they are, and the edge node is a mirror of them: what does not fit through it is left out
//! and counted (`Mirror Lost`), oldest first, and the verdict still arrives as JSON.
//!
//! # Why a connection of its own
//! A connection has one last will. The JSON `offline` needs it, and so does `NDEATH`: both hold only over two.
//!
//! | file | holds |
//! |---|---|
//! | `node` | what is said in which order: birth, data, death and their numbers; pure |
//! | `mirror` | what waits between the link and the node's connection; bounded |
//! | `session` | the connection |

mod mirror;
mod node;
mod session;

pub(crate) use mirror::{Mirror, Said};
pub(crate) use session::EdgeNode;

//! The detection method, pure: it does no IO, reads no clock, starts no thread and writes no log.
//!
//! Data flows one way, and the modules stand in that order:
//!
//! [`frame`] (pixels from a camera) → [`prepare`] (tensor, sized by [`resize`]) → [`graphs`] (encode, hint,
//! noise, decode, features, behind one trait) with [`schedule`] (DDIM) between them → [`distance`] →
//! [`map`] → [`score`] → [`judge`] → [`event`]. Beside the diffusion model a [`bank`] of good patches, which a
//! [`foundation`] describes, may judge; [`join`] brings their maps to one scale. [`inspector`] is the only caller that runs
//! the whole line; [`metrics`] measures how well it did, [`tolerance`] says what a threshold may promise, [`learning`] from
//! which good parts a product may be learnt, [`drift`] sees the parts move away from what they were, [`open_parts`] gives every
//! part its one verdict in time, [`repeat`] keeps the bit of a mark that comes again from becoming looser.
//!
//! Source of the method: He et al., *A Diffusion-Based Framework for Multi-Class Anomaly Detection*,
//! AAAI 2024.

pub mod bank;
pub mod distance;
pub mod drift;
pub mod event;
pub mod foundation;
pub mod frame;
pub mod graphs;
pub mod inspector;
pub mod join;
pub mod judge;
pub mod learning;
pub mod map;
pub mod metrics;
pub mod name;
pub mod open_parts;
mod patch;
pub mod prepare;
mod random;
pub mod repeat;
pub mod resize;
pub mod schedule;
pub mod score;
pub mod tensor;
pub mod tolerance;

#[cfg(test)]
mod testing;

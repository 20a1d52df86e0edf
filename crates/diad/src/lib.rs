//! The process of an inspection station.
//!
//! | module | holds |
//! |---|---|
//! | [`cli`] | what a person may type |
//! | [`command`] | what the commands do, one file each |
//! | [`settings`] | `config/diad.yaml`: defaults, file and environment in layers |
//! | [`thresholds`] | `config/thresholds.yaml`: live while the line runs |
//! | [`yaml`] | from a YAML text to checked values, with every fault by place and path |
//! | [`products`] | which products have a name, and what becomes of parts of others |
//! | [`model`] | from a bundle's folder to a method that is ready to judge |
//! | [`station`] | the line with its broker link, watchdog and orderly end; [`health`] is what it says of itself |
//! | [`mod@line`] | capture → infer → record: the stages, their lanes and threads |
//! | [`guard`] | drift of the parts, and golden parts: what watches the station itself |
//! | [`archive`] | pictures of parts, kept beside the ledger and never in a verdict's way |
//! | [`retention`] | what is old, whatever the wall clock says |
//! | [`learnt`] | reference banks that were learnt on this machine, kept beside the ledger |
//! | [`timing`], [`percentile`] | a clock for inspections, and what its times look like |
//! | [`picture`] | what a person sees of an inspection: heat map, overlay, PNG |
//! | [`files`], [`listing`] | files that a command leaves behind, and what lies in a folder |
//! | [`web`] | dashboard, health, metrics and API over HTTP |
//! | [`whatif`] | what other thresholds would have said of the record |
//! | [`exit`], [`logging`], [`output`], [`chain`] | exit codes, the log, standard output, errors on one line |

pub mod archive;
pub mod chain;
pub mod cli;
pub mod command;
pub mod exit;
pub mod files;
pub mod guard;
pub mod health;
pub mod learnt;
pub mod line;
pub mod listing;
pub mod logging;
pub mod model;
pub mod output;
pub mod percentile;
pub mod picture;
pub mod products;
pub mod retention;
pub mod settings;
pub mod station;
pub mod thresholds;
pub mod timing;
pub mod web;
pub mod whatif;
pub mod yaml;

#[cfg(test)]
mod testing;

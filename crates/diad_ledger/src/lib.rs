//! The record: one durable row per part, and what is still owed to the broker. The only crate that names SQLite.
//!
//! | file | holds |
//! |---|---|
//! | `row` | [`Row`]: what a verdict says, with the time each stage took |
//! | `moment` | [`Moment`]: wall time to the microsecond, as receivers read it |
//! | `cells`, `catalogue` | rows as database values and their checksum; what rows share |
//! | `seal` | checksums of the tables beside the verdicts |
//! | `schema` | tables and migrations; the tables themselves are in `schema/` |
//! | `lock`, `watch` | nobody else writes this ledger; its files are still where they were |
//! | `entered` | parts without a verdict yet, and what becomes of those that a killed process left |
//! | `ledger` | [`Ledger`], the one writer: verdicts, acknowledgements, gaps |
//! | `run` | run ids that never repeat |
//! | `purge` | retention |
//! | `reader` | [`Reader`]: pages of rows, what is unsent, single parts |
//! | `stats`, `verify` | counts, and the proof that nothing is missing, double or damaged |
//! | `gap`, `outage` | parts that could not be recorded; what a process leaves that ends before they can be |
//! | `mark` | what people said of verdicts |
//! | [`export`] | rows as CSV and Parquet |
//!
//! # What is promised
//! - When [`Ledger::commit`] returns, its rows are on the disk: write-ahead log, synced at every commit. A batch is
//!   one transaction, so it costs one sync and is recorded whole or not at all.
//! - `(line, station, camera, run, seq)` names a part once and for ever. The first verdict for a part stands; what
//!   comes later goes into a table of its own and never becomes a second verdict.
//! - A verdict is unsent until [`Ledger::mark_sent`] says otherwise, also over a crash. Only sent ones are ever deleted.
//! - A part that was noted with [`Ledger::commit`] gets a verdict also where the process is killed before it has one:
//!   [`Ledger::close_entered`].
//! - A row reads back as it was written, bit for bit, or not at all: its checksum covers everything. A row that fails it is
//!   reported as a [`DamagedRow`] and never handed out. Rows that were acknowledged before version 5 of the schema are the
//!   exception: the checksum does not cover the time of their acknowledgement.
//! - One process writes. Any number of [`Reader`]s, also in other processes, read beside it and never hold it up.
//! - After an error the ledger can be used again: nothing of the failed batch is kept, and it may be handed in again.
//!
//! # What a failure means
//! At the start, every [`LedgerError`] is a reason not to start; its message says what to do. While running it is not
//! a reason to stop: the station goes on without a record, announces that it is degraded, notes what it misses in
//! [`MissedParts`], and hands that in with [`Ledger::record_gaps`] when writing works again. [`LedgerError::Removed`] asks
//! for a new [`Ledger::open`]; every other error, for another try. What a process that ends before then has said is on
//! the [`FallbackFile`], which the next [`Ledger::open`] takes up.
//!
//! # Never
//! This crate never judges, never knows a topic or a payload, reads no clock, starts no thread and writes no log.

mod catalogue;
mod cells;
mod entered;
mod error;
pub mod export;
mod fallback;
mod gap;
mod in_force;
mod ledger;
mod lock;
mod mark;
mod moment;
mod purge;
mod reader;
mod row;
mod run;
mod schema;
mod seal;
mod stats;
mod verify;
mod watch;

#[cfg(test)]
mod testing;

pub use cells::{DamagedRow, RowFault};
pub use entered::Entered;
pub use error::LedgerError;
pub use fallback::FallbackFile;
pub use gap::{Gap, MissedParts};
pub use ledger::{Ledger, Recorded, Sent};
pub use lock::writer;
pub use mark::Mark;
pub use moment::Moment;
pub use reader::{Entry, LateRow, Reader, Rows, Span, StoredRow};
pub use row::{Key, Row, RowId, RowProvenance, RunContext, Series, Timings};
pub use stats::Stats;
pub use verify::{Findings, Missing, Report};

//! The `ledger` section: where verdicts are kept, and for how long.

use std::path::PathBuf;

use crate::yaml::Item;

/// The part ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// The database file.
    pub path: PathBuf,
    /// How long parts are kept, in days: 1 to 3650.
    pub keep_days: u32,
    /// Whose pictures are kept; none twice.
    pub keep: Vec<Kept>,
    /// Disk space for pictures in GiB: 0 to 65536.
    pub max_gib: u32,
}

/// A verdict whose pictures are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// `PASS`.
    Pass,
    /// `REVIEW`.
    Review,
    /// `REJECT`.
    Reject,
    /// `UNJUDGED`.
    Unjudged,
}

impl Kept {
    /// The word of the verdict.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Review => "REVIEW",
            Self::Reject => "REJECT",
            Self::Unjudged => "UNJUDGED",
        }
    }
}

pub(super) fn section(item: Item<'_>) -> Option<Ledger> {
    let keys = item.mapping()?.only(&["path", "keep_days", "images"]);
    let path = keys.get("path").file_path();
    let keep_days = keys.get("keep_days").whole(1..=3650);
    let images = keys.get("images").mapping().and_then(|keys| {
        let keys = keys.only(&["keep", "max_gib"]);
        let keep = kept(&keys.get("keep"));
        let max_gib = keys.get("max_gib").whole(0..=65_536);
        Some((keep?, max_gib?))
    });
    let (keep, max_gib) = images?;
    Some(Ledger { path: path?, keep_days: keep_days?, keep, max_gib })
}

fn kept(item: &Item<'_>) -> Option<Vec<Kept>> {
    item.choices(&[Kept::Pass, Kept::Review, Kept::Reject, Kept::Unjudged].map(|kept| (kept.word(), kept)))
}

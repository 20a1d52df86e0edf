//! The `drift` and `golden` sections: what watches the station itself.

use std::path::PathBuf;
use std::time::Duration;

use crate::yaml::Item;

/// Golden parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Golden {
    /// The folder; `None`: there are none.
    pub folder: Option<PathBuf>,
    /// How often they are judged besides the start, 1 minute to a week; `None`: only when asked.
    pub every: Option<Duration>,
}

/// Whether drift turns the state to `degraded`.
pub(super) fn drift(item: Item<'_>) -> Option<bool> {
    item.mapping()?.only(&["alarm"]).get("alarm").flag()
}

/// Does not look into the folder: one that is gone must not keep a station from starting.
pub(super) fn golden(item: Item<'_>) -> Option<Golden> {
    let keys = item.mapping()?.only(&["folder", "every_minutes"]);
    let folder = keys.get("folder").nullable(|item| item.file_path());
    let every = keys.get("every_minutes");
    let minutes = keys.get("every_minutes").nullable(|item| item.whole(1..=10_080_u64));
    let (folder, minutes) = (folder?, minutes?);
    if minutes.is_some() && folder.is_none() {
        return every.fault("is set, but there is no folder", Some("null, or set folder"));
    }
    Some(Golden { folder, every: minutes.map(|minutes| Duration::from_secs(60 * minutes)) })
}

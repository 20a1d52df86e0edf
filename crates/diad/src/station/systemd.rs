//! Messages to systemd: the start, the status of the station, signs of life and the stop.

use sd_notify::NotifyState;
use tracing::warn;

use crate::health::Health;

/// The status that `systemctl status` shows. It is sent by the supervisor and not where the state changes: a message to systemd
/// may wait, and a verdict must not.
#[derive(Debug, Default)]
pub(super) struct Status {
    /// The last one sent.
    sent: String,
}

impl Status {
    /// Sends the status if it is another than the last one.
    pub(super) fn send(&mut self, health: &Health) {
        let status = health.condition().systemd_status();
        if status != self.sent {
            send(&[NotifyState::Status(&status)]);
            self.sent = status;
        }
    }
}

/// Sends this to systemd. Outside systemd nothing is sent, and a failure is not worth a part.
pub(super) fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "message to systemd not sent");
    }
}

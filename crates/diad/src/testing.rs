//! What the tests of this crate share.

use std::sync::Arc;

use diad_core::name::{LineName, RunId, StationName};
use diad_publish::settings::{BrokerUrl, LinkSettings};
use diad_publish::topic::TopicRoot;
use diad_publish::wire::{OnUnjudged, Station};
use diad_publish::{Publisher, PublisherSettings};

use crate::health::Health;

/// A link to a broker that is not there.
pub(crate) fn publisher() -> Arc<Publisher> {
    // Nothing listens on port 1.
    let url = BrokerUrl::parse("mqtt://127.0.0.1:1").unwrap();
    let settings = PublisherSettings {
        link: LinkSettings::try_new(url, None, None, None).unwrap(),
        root: TopicRoot::try_new("factory").unwrap(),
        station: Station {
            line: LineName::try_new("L1").unwrap(),
            station: StationName::try_new("S1").unwrap(),
            run: RunId::try_new("01JD").unwrap(),
        },
        on_unjudged: OnUnjudged::Reject,
        deadline_ms: 200,
        watch_triggers: false,
        outbox_capacity: PublisherSettings::OUTBOX_CAPACITY,
    };
    Arc::new(Publisher::start(settings).unwrap())
}

/// The health of a station that nobody hears.
pub(crate) fn health() -> Health {
    Health::new(publisher())
}

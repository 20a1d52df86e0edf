//! What a station says of the plant's messages: those that are not certain, and the product in force.

use std::time::{Duration, Instant};

use diad_publish::LinkStatus;

use crate::health::{Health, Source};
use crate::line::CameraSpec;
use crate::products::{InForce, Products, Remark};
use crate::thresholds::LiveThresholds;

/// What the health of a station calls messages whose meaning is not certain.
const UNREAD_HEALTH: Source = Source::MessagesUnread;
/// How long after the last of them that is told: each is on record as a part, and counted in the metrics.
const UNREAD_FOR: Duration = Duration::from_secs(60);
/// What it calls the product in force.
const PRODUCT_HEALTH: Source = Source::Product;
/// How long a station waits for the plant to name a product before it says that none is named.
const UNNAMED_FOR: Duration = Duration::from_secs(5);

/// Messages whose meaning is not certain: a trigger's part is UNJUDGED, and so are parts after such a change-over.
#[derive(Debug, Default)]
pub(super) struct UnreadMessages {
    /// How many there were at the last look.
    told: u64,
    /// When the last one came.
    last: Option<Instant>,
}

impl UnreadMessages {
    /// Tells of a new one for [`UNREAD_FOR`].
    pub(super) fn report(&mut self, health: &Health, link: &LinkStatus, now: Instant) {
        let count = link.inbound_unread;
        if count > self.told {
            (self.told, self.last) = (count, Some(now));
            let last = link.last_unread.as_deref().unwrap_or_default();
            let detail = format!("messages from the plant that are not certain since the start: {count}");
            health
                .problem(UNREAD_HEALTH, &format!("{detail}. A trigger's part is UNJUDGED(trigger). The last: {last}"));
        } else if self.last.is_some_and(|last| now.saturating_duration_since(last) >= UNREAD_FOR) {
            self.last = None;
            health.well(UNREAD_HEALTH);
        }
    }
}

/// What is to be said of the product in force, by the thresholds in force.
pub(super) struct ProductHealth {
    products: Products,
    thresholds: LiveThresholds,
    /// Whether a camera has parts whose product only the plant can name.
    unnamed_parts: bool,
    /// Since when the plant could have named one.
    since: Instant,
}

impl ProductHealth {
    pub(super) fn new(products: &Products, thresholds: &LiveThresholds, cameras: &[CameraSpec]) -> Self {
        let unnamed_parts = cameras.iter().any(|camera| !camera.names_products());
        Self { products: products.clone(), thresholds: thresholds.clone(), unnamed_parts, since: Instant::now() }
    }

    pub(super) fn report(&self, health: &Health, in_force: &InForce, now: Instant) {
        let waited = now.saturating_duration_since(self.since) >= UNNAMED_FOR;
        match self.products.remark(&self.thresholds.current(), in_force, self.unnamed_parts && waited) {
            Some(Remark::Fault(detail)) => health.problem(PRODUCT_HEALTH, &detail),
            Some(Remark::Notice(detail)) => health.notice(PRODUCT_HEALTH, &detail),
            None => health.well(PRODUCT_HEALTH),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn messages_that_are_not_certain_are_told_with_the_last_of_them_and_heal() {
        let health = testing::health();
        let now = Instant::now();
        let mut unread = UnreadMessages::default();
        let status = testing::publisher().status();
        let link = |inbound_unread| LinkStatus {
            inbound_unread,
            last_unread: Some("no object; it begins with fe 0e".to_owned()),
            ..status.clone()
        };
        unread.report(&health, &link(0), now);
        assert!(health.look().1.is_empty());
        unread.report(&health, &link(1), now);
        let (_, problems) = health.look();
        assert!(problems[0].0 == UNREAD_HEALTH && problems[0].1.contains("since the start: 1."), "{problems:?}");
        assert!(problems[0].1.ends_with("The last: no object; it begins with fe 0e"), "{problems:?}");
        // It heals by itself, some time after the last one.
        unread.report(&health, &link(2), now + UNREAD_FOR / 2);
        unread.report(&health, &link(2), now + UNREAD_FOR);
        assert_eq!(health.faults().1, [UNREAD_HEALTH]);
        unread.report(&health, &link(2), now + UNREAD_FOR + UNREAD_FOR / 2);
        assert!(health.faults().1.is_empty());
    }

    #[test]
    fn product_that_nobody_knows_is_told_until_a_known_one_comes() {
        let text = "default: { review: 0.3, reject: 0.4 }\nproducts: { washer: {} }\n";
        let set = crate::thresholds::ThresholdSet::read(text, "thresholds.yaml").unwrap();
        let named = |name| InForce::Named(diad_core::name::ProductName::try_new(name).unwrap());
        let health = testing::health();
        let watch = ProductHealth {
            products: Products::new(&[], crate::products::OnUnknown::Unjudged),
            thresholds: LiveThresholds::new(set),
            unnamed_parts: true,
            since: Instant::now(),
        };
        let at = |seconds| watch.since + Duration::from_secs(seconds);
        watch.report(&health, &InForce::Unnamed, at(1));
        assert!(health.look().1.is_empty(), "the plant has a moment to name one");
        watch.report(&health, &InForce::Unnamed, at(5));
        assert!(health.look().1[0].0 == PRODUCT_HEALTH && health.faults().1.is_empty(), "{:?}", health.look().1);
        watch.report(&health, &named("Washer"), at(6));
        assert_eq!(health.faults().1, [PRODUCT_HEALTH]);
        assert!(health.look().1[0].1.contains("did you mean washer? They differ in case alone"));
        watch.report(&health, &named("washer"), at(7));
        assert!(health.look().1.is_empty());
        watch.report(&health, &InForce::Unclear("a NUL".into()), at(8));
        assert_eq!(health.faults().1, [PRODUCT_HEALTH]);
        watch.report(&health, &named("washer"), at(9));
        assert!(health.look().1.is_empty());
    }
}

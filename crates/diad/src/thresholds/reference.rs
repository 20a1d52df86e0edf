//! What the drift guard compares a product with, as the file says it:
//! `reference: { score: [mean, sd], brightness: [mean, sd], sharpness: [mean, sd] }`, each of them optional.

use diad_core::drift::{Reference, Signal, Spread};

use crate::yaml::Item;

/// The words of a spread.
const ALLOWED: &str = "[mean, standard deviation]";
/// Larger than any mean or standard deviation of a signal.
const MAX_MEAN_OR_SD: f64 = 1000.0;

/// Reads one; nothing is an empty one.
pub(super) fn read(item: Item<'_>) -> Option<Reference> {
    let Some(keys) = item.nullable(|item| item.mapping())? else { return Some(Reference::default()) };
    let keys = keys.only(&Signal::ALL.map(Signal::as_str));
    let mut reference = Reference::default();
    let mut sound = true;
    for signal in Signal::ALL {
        match keys.get(signal.as_str()).nullable(|item| spread(&item)) {
            Some(spread) => *reference.get_mut(signal) = spread,
            None => sound = false,
        }
    }
    sound.then_some(reference)
}

fn spread(item: &Item<'_>) -> Option<Spread> {
    let values = item.list()?;
    let [mean, sd] = &values[..] else {
        return item.fault("must be two numbers", Some(ALLOWED));
    };
    let (mean, sd) = (mean.number(0.0..=MAX_MEAN_OR_SD), sd.number(0.0..=MAX_MEAN_OR_SD));
    match Spread::try_new(mean?, sd?) {
        Ok(spread) => Some(spread),
        Err(error) => item.fault(&error.to_string(), Some(ALLOWED)),
    }
}

/// A spread as the file says it.
pub(super) fn text(spread: Spread) -> String {
    format!("[{}, {}]", spread.mean(), spread.sd())
}

//! Numbers as a thresholds file holds them: short, and never tighter than they were worked out.

use diad_core::drift::{Look, Reference, Signal, Spread};
use diad_core::score::Score;

/// Four digits, and never lower: a higher cut-off throws out no more good parts. None for what a thresholds file cannot
/// hold.
#[must_use]
pub fn written(at: f32) -> Option<Score> {
    if at <= 0.0 {
        return Score::try_new(0.0).ok();
    }
    let exact = f64::from(at);
    let decimals = (3.0 - exact.log10().floor()).max(0.0);
    let unit = 10_f64.powf(-decimals);
    // Printed and read again, so that the file says what was meant.
    let read = |value: f64| format!("{value:.*}", decimals as usize).parse::<f32>().ok();
    let (near, up) = (read(exact)?, read((exact / unit).floor() * unit + unit)?);
    let score = if near >= at { near } else { up };
    (score <= 1.0).then(|| Score::try_new(score).ok()).flatten()
}

/// Mean and standard deviation of what good parts show, four digits each; nothing of the look where there are no looks.
#[must_use]
pub fn reference(scores: impl IntoIterator<Item = f32>, looks: impl IntoIterator<Item = Look>) -> Reference {
    let (brightness, sharpness): (Vec<_>, Vec<_>) =
        looks.into_iter().map(|look| (look.brightness, look.sharpness)).unzip();
    let mut reference = Reference {
        score: Spread::of(scores.into_iter().map(f64::from)),
        brightness: Spread::of(brightness),
        sharpness: Spread::of(sharpness),
    };
    let short = |value: f64| format!("{value:.3e}").parse().unwrap_or(value);
    for signal in Signal::ALL {
        let spread = reference.get_mut(signal);
        *spread = spread.and_then(|spread| Spread::try_new(short(spread.mean()), short(spread.sd())).ok());
    }
    reference
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_has_four_digits_and_is_never_lower() {
        for (at, want) in
            [(0.041_234_5, 0.041_24), (0.5, 0.5), (0.123_4, 0.123_4), (0.999_96, 1.0), (0.0, 0.0), (1.0, 1.0)]
        {
            let score = written(at).unwrap().get();
            assert!((score - want).abs() < 1e-6 && score >= at, "{at}: {score}");
        }
        assert_eq!(written(1.2), None);
    }

    #[test]
    fn reference_of_recorded_scores_says_nothing_of_the_look() {
        let scores = [0.01, 0.02, 0.04];
        let spread = |mean, sd| Spread::try_new(mean, sd).ok();
        assert_eq!(reference(scores, []), Reference { score: spread(0.02333, 0.01528), ..Reference::default() });
        let known = reference(scores, [0.5, 0.6].map(|brightness| Look { brightness, sharpness: 1.0 }));
        assert_eq!((known.brightness, known.sharpness), (spread(0.55, 0.07071), spread(1.0, 0.0)));
    }
}

//! Anomaly map → score, peak and region.

use crate::map::AnomalyMap;
use crate::patch;
use crate::prepare::ModelRect;
use crate::score::{Score, ScoreError};

/// How a map becomes one number: averaged `times` times over a square window (stride 1, no border), then the
/// largest value. Many small windows in a row weigh the middle like a bell and cost less than one large bell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScoreRule {
    window_px: u32,
    times: u32,
}

/// A score that cannot be taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PeakError {
    /// The window is empty.
    #[error("the averaging window is 0 px wide; it takes at least 1")]
    Window,
    /// Nothing of the map would be left after averaging.
    #[error(
        "averaging {times} times over {window_px} px needs a map of at least {need} px a side, this one has {width}x{height}"
    )]
    Small {
        /// Window, in model pixels.
        window_px: u32,
        /// Number of averagings.
        times: u32,
        /// Smallest side that leaves something.
        need: u64,
        /// Width of the map, in model pixels.
        width: u32,
        /// Height of the map, in model pixels.
        height: u32,
    },
    /// The map has another size than the one agreed.
    #[error("map of {width}x{height} px, expected {want_width}x{want_height}")]
    Size {
        /// Width given.
        width: u32,
        /// Height given.
        height: u32,
        /// Width agreed.
        want_width: u32,
        /// Height agreed.
        want_height: u32,
    },
    /// The largest value is no score.
    #[error("peak of the map")]
    Score(#[source] ScoreError),
}

/// Where a part is most unlike the good ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// The score: the largest averaged value.
    pub score: Score,
    /// Column of the centre of the averaged window, in model pixels.
    pub x: u32,
    /// Row of the centre, in model pixels.
    pub y: u32,
}

impl ScoreRule {
    /// Takes the window's side in model pixels (the reference: 8) and how often it is averaged (8; 0 takes the
    /// largest value of the map itself).
    ///
    /// # Errors
    /// [`PeakError::Window`].
    pub const fn try_new(window_px: u32, times: u32) -> Result<Self, PeakError> {
        if window_px == 0 { Err(PeakError::Window) } else { Ok(Self { window_px, times }) }
    }

    /// Side of the window, in model pixels.
    #[must_use]
    pub const fn window_px(self) -> u32 {
        self.window_px
    }

    /// Number of averagings.
    #[must_use]
    pub const fn times(self) -> u32 {
        self.times
    }

    /// Side of the square of map pixels that one averaged value reaches, in model pixels.
    #[must_use]
    pub fn reach_px(self) -> u64 {
        (u64::from(self.window_px) - 1) * u64::from(self.times) + 1
    }
}

/// Finds peaks in maps of one size. Holds every buffer: a peak costs no allocation.
#[derive(Debug)]
pub struct PeakFinder {
    rule: ScoreRule,
    width: u32,
    height: u32,
    plane: Vec<f64>,
    sums: Vec<f64>,
    seen: Vec<bool>,
    open: Vec<usize>,
}

impl PeakFinder {
    /// Finds peaks in maps of `width` x `height` model pixels.
    ///
    /// # Errors
    /// [`PeakError::Small`].
    pub fn try_new(rule: ScoreRule, width: u32, height: u32) -> Result<Self, PeakError> {
        let need = rule.reach_px();
        if u64::from(width.min(height)) < need {
            let ScoreRule { window_px, times } = rule;
            return Err(PeakError::Small { window_px, times, need, width, height });
        }
        let pixels = width as usize * height as usize;
        Ok(Self {
            rule,
            width,
            height,
            plane: vec![0.0; pixels],
            sums: vec![0.0; width as usize],
            seen: vec![false; pixels],
            open: Vec::with_capacity(pixels),
        })
    }

    /// Score and place of the peak (the first one, row by row, where several are equal). The sums are `f64`.
    /// Golden `score`.
    ///
    /// # Errors
    /// [`PeakError::Size`] and [`PeakError::Score`].
    pub fn find(&mut self, map: &AnomalyMap) -> Result<Peak, PeakError> {
        self.expect_size(map)?;
        for (to, &from) in self.plane.iter_mut().zip(map.values()) {
            *to = f64::from(from);
        }
        let window = self.rule.window_px as usize;
        let (mut width, mut height) = (self.width as usize, self.height as usize);
        // A window of one pixel changes nothing.
        let times = if window > 1 { self.rule.times } else { 0 };
        for _ in 0..times {
            average_rows(&mut self.plane, (width, height), window);
            width -= window - 1;
            average_columns(&mut self.plane, (width, height), window, &mut self.sums[..width]);
            height -= window - 1;
        }
        let mut best = (0, self.plane[0]);
        for (index, &value) in self.plane[..width * height].iter().enumerate() {
            if value > best.1 {
                best = (index, value);
            }
        }
        let score = Score::try_new(best.1 as f32).map_err(PeakError::Score)?;
        let centre = ((self.rule.reach_px() - 1) / 2) as u32;
        Ok(Peak { score, x: (best.0 % width) as u32 + centre, y: (best.0 / width) as u32 + centre })
    }

    /// The box around the peak's patch: all map pixels joined to it (also corner to corner) that have at least
    /// half the value at its centre. Where the map is 0 there (it does not count, and what does lies around it), the
    /// patch is that of the largest value that the peak reaches; one pixel if there is none above 0.
    ///
    /// # Errors
    /// [`PeakError::Size`].
    pub fn region(&mut self, map: &AnomalyMap, peak: &Peak) -> Result<ModelRect, PeakError> {
        self.expect_size(map)?;
        let (width, height) = (self.width as usize, self.height as usize);
        let values = map.values();
        let (x, y) = self.begin(values, (peak.x.min(self.width - 1) as usize, peak.y.min(self.height - 1) as usize));
        let cut = values[y * width + x] / 2.0;
        let (mut left, mut right, mut top, mut bottom) = (x, x, y, y);
        let Self { seen, open, .. } = self;
        seen.fill(false);
        patch::flood(y * width + x, (width, height), open, |index| {
            let joins = !seen[index] && cut > 0.0 && values[index] >= cut;
            if joins {
                seen[index] = true;
                let (x, y) = (index % width, index / width);
                (left, right) = (left.min(x), right.max(x));
                (top, bottom) = (top.min(y), bottom.max(y));
            }
            joins
        });
        let side = |low: usize, high: usize| (high - low + 1) as u32;
        Ok(ModelRect { x: left as u32, y: top as u32, width: side(left, right), height: side(top, bottom) })
    }

    /// Where a peak's patch begins.
    fn begin(&self, values: &[f32], (x, y): (usize, usize)) -> (usize, usize) {
        let width = self.width as usize;
        if values[y * width + x] > 0.0 {
            return (x, y);
        }
        let reach = self.rule.reach_px() as usize / 2;
        let mut best = (x, y);
        for row in y.saturating_sub(reach)..=(y + reach).min(self.height as usize - 1) {
            for column in x.saturating_sub(reach)..=(x + reach).min(width - 1) {
                if values[row * width + column] > values[best.1 * width + best.0] {
                    best = (column, row);
                }
            }
        }
        best
    }

    fn expect_size(&self, map: &AnomalyMap) -> Result<(), PeakError> {
        if (map.width(), map.height()) == (self.width, self.height) {
            return Ok(());
        }
        Err(PeakError::Size {
            width: map.width(),
            height: map.height(),
            want_width: self.width,
            want_height: self.height,
        })
    }
}

/// Averages along each row, packing the shorter rows to the front of the plane.
fn average_rows(plane: &mut [f64], (width, height): (usize, usize), window: usize) {
    let left = width - (window - 1);
    let share = 1.0 / window as f64;
    for y in 0..height {
        let mut sum: f64 = plane[y * width..][..window - 1].iter().sum();
        for x in 0..left {
            let first = plane[y * width + x];
            sum += plane[y * width + x + window - 1];
            // Shorter rows never reach past what has been read: y * left + x <= y * width + x.
            plane[y * left + x] = sum * share;
            sum -= first;
        }
    }
}

/// Averages along each column. `sums` holds one running sum per column.
fn average_columns(plane: &mut [f64], (width, height): (usize, usize), window: usize, sums: &mut [f64]) {
    let share = 1.0 / window as f64;
    sums.fill(0.0);
    for row in plane.chunks_exact(width).take(window - 1) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
    for y in 0..=height - window {
        let (head, tail) = plane.split_at_mut((y + 1) * width);
        let first = &mut head[y * width..];
        let last = &tail[(window - 2) * width..];
        for ((sum, first), last) in sums.iter_mut().zip(first).zip(last) {
            *sum += last;
            let leaving = *first;
            *first = *sum * share;
            *sum -= leaving;
        }
    }
}

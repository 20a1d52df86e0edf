//! Bringing a coarse map to the model's size.

use crate::map::{AnomalyMap, MapError};
use crate::tensor::{Shape, Tensor, TensorError};

/// Which samples of a coarse axis fall on which of the fine one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alignment {
    /// The first sample on the first, the last on the last: how the reference enlarges feature layers.
    Corners,
    /// Samples are squares of equal size side by side: where a token or a pooled patch really lies. Outside the outer
    /// centres the edge sample is repeated.
    Centres,
}

/// Enlarges maps of one shape, bilinearly. Holds its tables: a map costs no allocation.
#[derive(Debug)]
pub struct Enlarger {
    shape: Shape,
    columns: Vec<Tap>,
    rows: Vec<Tap>,
}

/// One output sample of an enlarged axis: between samples `low` and `high`, `share` of the second.
#[derive(Debug, Clone, Copy)]
struct Tap {
    low: usize,
    high: usize,
    share: f64,
}

impl Enlarger {
    /// Enlarges maps of shape `[1, 1, h, w]` to `width` x `height` model pixels.
    ///
    /// # Errors
    /// [`MapError::Layer`] for another or an empty shape, [`MapError::Size`] for an empty target.
    pub fn try_new(shape: Shape, alignment: Alignment, width: u32, height: u32) -> Result<Self, MapError> {
        if width == 0 || height == 0 {
            return Err(MapError::Size { width, height, got: 0 });
        }
        let [_, _, h, w] = shape;
        let want = [1, 1, h.max(1), w.max(1)];
        if shape != want {
            return Err(MapError::Layer(TensorError::Shape { what: "distance", got: shape, want }));
        }
        let taps = |source, target: u32| taps(source, target as usize, alignment);
        Ok(Self { shape, columns: taps(w, width), rows: taps(h, height) })
    }

    /// The shape of the maps that it enlarges.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Writes the enlarged map over `out`.
    ///
    /// # Errors
    /// [`MapError::Layer`] and [`MapError::Size`] for maps of other sizes, [`MapError::Value`] for a negative value or
    /// one that is not finite.
    pub fn enlarge(&self, map: &Tensor, out: &mut AnomalyMap) -> Result<(), MapError> {
        map.expect_shape("distance", self.shape).map_err(MapError::Layer)?;
        if (out.width as usize, out.height as usize) != (self.columns.len(), self.rows.len()) {
            return Err(MapError::Size { width: out.width, height: out.height, got: out.values.len() });
        }
        self.sample(map.data(), &mut out.values, |value, sample| *value = sample as f32);
        out.expect_valid()
    }

    /// Adds the enlarged map, times `weight`, to a plane of the target's size.
    pub(super) fn add_to(&self, sum: &mut [f64], distance: &[f32], weight: f64) {
        self.sample(distance, sum, |value, sample| *value += weight * sample);
    }

    /// Hands every sample of the enlarged map to its place in `plane`.
    fn sample<T>(&self, distance: &[f32], plane: &mut [T], write: impl Fn(&mut T, f64)) {
        let stride = self.shape[3];
        for (line, row) in plane.chunks_exact_mut(self.columns.len()).zip(&self.rows) {
            let upper = &distance[row.low * stride..][..stride];
            let lower = &distance[row.high * stride..][..stride];
            for (value, column) in line.iter_mut().zip(&self.columns) {
                let top = mix(upper[column.low], upper[column.high], column.share);
                let bottom = mix(lower[column.low], lower[column.high], column.share);
                write(value, top + (bottom - top) * row.share);
            }
        }
    }
}

fn mix(low: f32, high: f32, share: f64) -> f64 {
    f64::from(low) + (f64::from(high) - f64::from(low)) * share
}

fn taps(source: usize, target: usize, alignment: Alignment) -> Vec<Tap> {
    let last = (source - 1) as f64;
    let place = |out: usize| match alignment {
        Alignment::Corners if target > 1 => out as f64 * (last / (target - 1) as f64),
        Alignment::Corners => 0.0,
        Alignment::Centres => ((out as f64 + 0.5) * source as f64 / target as f64 - 0.5).clamp(0.0, last),
    };
    let tap = |place: f64| {
        let low = (place as usize).min(source - 1);
        Tap { low, high: (low + 1).min(source - 1), share: place - low as f64 }
    };
    (0..target).map(|out| tap(place(out))).collect()
}

//! Distances of all layers → one map.

use crate::map::blur::Blur;
use crate::map::{AnomalyMap, Counted, MapError, MapSettings};
use crate::tensor::{Shape, Tensor, TensorError};

/// Makes maps of one size out of layers of known sizes. Holds every table and buffer: a map costs no allocation.
#[derive(Debug)]
pub struct Fuser {
    layers: Vec<Layer>,
    blur: Blur,
    sum: Vec<f64>,
    raw: AnomalyMap,
    smooth: AnomalyMap,
}

/// One layer: shape and weight, and the taps that enlarge it.
#[derive(Debug)]
struct Layer {
    shape: Shape,
    weight: f64,
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

impl Fuser {
    /// Makes maps of `width` x `height` model pixels from layers whose distances have `shapes`
    /// (`[1, 1, h, w]`, finest first).
    ///
    /// # Errors
    /// [`MapError::Layers`], [`MapError::Layer`] and [`MapError::Size`].
    pub fn try_new(settings: &MapSettings, shapes: &[Shape], width: u32, height: u32) -> Result<Self, MapError> {
        if shapes.len() != settings.layer_weights.len() {
            return Err(MapError::Layers { layers: shapes.len(), weights: settings.layer_weights.len() });
        }
        if width == 0 || height == 0 {
            return Err(MapError::Size { width, height, got: 0 });
        }
        let mut layers = Vec::with_capacity(shapes.len());
        for (&shape, &weight) in shapes.iter().zip(&settings.layer_weights) {
            let [_, _, h, w] = shape;
            if shape != [1, 1, h.max(1), w.max(1)] {
                let want = [1, 1, h.max(1), w.max(1)];
                return Err(MapError::Layer(TensorError::Shape { what: "distance", got: shape, want }));
            }
            let (columns, rows) = (taps(w, width as usize), taps(h, height as usize));
            layers.push(Layer { shape, weight: f64::from(weight), columns, rows });
        }
        let pixels = width as usize * height as usize;
        Ok(Self {
            layers,
            blur: Blur::new(settings, width as usize, height as usize),
            sum: vec![0.0; pixels],
            raw: AnomalyMap::zeros(width, height),
            smooth: AnomalyMap::zeros(width, height),
        })
    }

    /// Enlarges each layer (bilinear, corner samples on corner pixels), sums them by weight and smooths the sum
    /// (Gaussian, mirrored at the border with the edge sample repeated). Golden `amap_raw`, `amap_gauss`.
    ///
    /// # Errors
    /// [`MapError::Layers`], [`MapError::Layer`]; [`MapError::Value`] if a distance was NaN or infinite.
    pub fn fuse(&mut self, distances: &[Tensor]) -> Result<(), MapError> {
        if distances.len() != self.layers.len() {
            return Err(MapError::Layers { layers: distances.len(), weights: self.layers.len() });
        }
        self.sum.fill(0.0);
        for (layer, distance) in self.layers.iter().zip(distances) {
            distance.expect_shape("distance", layer.shape).map_err(MapError::Layer)?;
            layer.add_to(&mut self.sum, distance.data());
        }
        round(&self.sum, &mut self.raw.values);
        self.raw.expect_valid()?;
        self.blur.apply(&mut self.sum);
        round(&self.sum, &mut self.smooth.values);
        self.smooth.expect_valid()
    }

    /// Sets what does not count to 0 in the map that is scored.
    pub(crate) fn keep(&mut self, counted: &Counted) {
        counted.clear_others(&mut self.smooth);
    }

    /// The sum of the layers, not smoothed.
    #[must_use]
    pub const fn raw(&self) -> &AnomalyMap {
        &self.raw
    }

    /// The map that is scored.
    #[must_use]
    pub const fn smooth(&self) -> &AnomalyMap {
        &self.smooth
    }
}

impl Layer {
    fn add_to(&self, sum: &mut [f64], distance: &[f32]) {
        let stride = self.shape[3];
        for (line, row) in sum.chunks_exact_mut(self.columns.len()).zip(&self.rows) {
            let upper = &distance[row.low * stride..][..stride];
            let lower = &distance[row.high * stride..][..stride];
            for (value, column) in line.iter_mut().zip(&self.columns) {
                let top = mix(upper[column.low], upper[column.high], column.share);
                let bottom = mix(lower[column.low], lower[column.high], column.share);
                *value += self.weight * (top + (bottom - top) * row.share);
            }
        }
    }
}

fn mix(low: f32, high: f32, share: f64) -> f64 {
    f64::from(low) + (f64::from(high) - f64::from(low)) * share
}

/// Enlarges `source` samples to `target` so that the first and the last fall on the first and the last.
fn taps(source: usize, target: usize) -> Vec<Tap> {
    let scale = if target > 1 { (source - 1) as f64 / (target - 1) as f64 } else { 0.0 };
    (0..target)
        .map(|out| {
            let place = out as f64 * scale;
            let low = (place as usize).min(source - 1);
            Tap { low, high: (low + 1).min(source - 1), share: place - low as f64 }
        })
        .collect()
}

fn round(from: &[f64], to: &mut [f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = from as f32;
    }
}

//! Distances of all layers → one map.

use crate::map::blur::Blur;
use crate::map::{Alignment, AnomalyMap, Counted, Enlarger, MapError, MapSettings, round};
use crate::tensor::{Shape, Tensor};

/// Makes maps of one size out of layers of known sizes. Holds every table and buffer: a map costs no allocation.
#[derive(Debug)]
pub struct Fuser {
    layers: Vec<Layer>,
    blur: Blur,
    sum: Vec<f64>,
    raw: AnomalyMap,
    smooth: AnomalyMap,
}

/// One layer and its weight.
#[derive(Debug)]
struct Layer {
    enlarger: Enlarger,
    weight: f64,
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
        let layers = shapes.iter().zip(&settings.layer_weights).map(|(&shape, &weight)| {
            let enlarger = Enlarger::try_new(shape, Alignment::Corners, width, height)?;
            Ok(Layer { enlarger, weight: f64::from(weight) })
        });
        let layers = layers.collect::<Result<_, MapError>>()?;
        let pixels = width as usize * height as usize;
        Ok(Self {
            layers,
            blur: Blur::new(settings, width as usize, height as usize),
            sum: vec![0.0; pixels],
            raw: AnomalyMap::zeros(width, height),
            smooth: AnomalyMap::zeros(width, height),
        })
    }

    /// Sums the layers as [`sum`](Self::sum) does and smooths the sum (Gaussian, mirrored at the border with the edge
    /// sample repeated). Golden `amap_raw`, `amap_gauss`.
    ///
    /// # Errors
    /// [`MapError::Layers`], [`MapError::Layer`]; [`MapError::Value`] if a distance was NaN or infinite.
    pub fn fuse(&mut self, distances: &[Tensor]) -> Result<(), MapError> {
        self.sum(distances)?;
        self.blur.apply(&mut self.sum);
        round(&self.sum, &mut self.smooth.values);
        self.smooth.expect_valid()
    }

    /// Enlarges each layer (bilinear, corner samples on corner pixels) and sums them by weight: only
    /// [`raw`](Self::raw) is made.
    ///
    /// # Errors
    /// As [`fuse`](Self::fuse).
    pub fn sum(&mut self, distances: &[Tensor]) -> Result<(), MapError> {
        if distances.len() != self.layers.len() {
            return Err(MapError::Layers { layers: distances.len(), weights: self.layers.len() });
        }
        self.sum.fill(0.0);
        for (layer, distance) in self.layers.iter().zip(distances) {
            distance.expect_shape("distance", layer.enlarger.shape()).map_err(MapError::Layer)?;
            layer.enlarger.add_to(&mut self.sum, distance.data(), layer.weight);
        }
        round(&self.sum, &mut self.raw.values);
        self.raw.expect_valid()
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

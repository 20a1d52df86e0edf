//! Maps of several witnesses → one map.

use crate::join::Share;
use crate::map::blur::Blur;
use crate::map::{AnomalyMap, Counted, MapError, MapSettings, round};

/// Joins the maps of one part. Holds every buffer: a part costs no allocation.
///
/// A part is [`begin`](Self::begin), [`add`](Self::add) for each witness, [`finish`](Self::finish).
#[derive(Debug)]
pub struct Joiner {
    blur: Blur,
    /// The map of one witness on the common scale.
    plane: Vec<f64>,
    raw_sum: Vec<f64>,
    smooth_sum: Vec<f64>,
    own: AnomalyMap,
    raw: AnomalyMap,
    smooth: AnomalyMap,
}

impl Joiner {
    /// Joins maps of `width` x `height` model pixels and smooths them as the settings say.
    ///
    /// # Errors
    /// [`MapError::Size`] for an empty map.
    pub fn try_new(settings: &MapSettings, width: u32, height: u32) -> Result<Self, MapError> {
        if width == 0 || height == 0 {
            return Err(MapError::Size { width, height, got: 0 });
        }
        let plane = vec![0.0; width as usize * height as usize];
        Ok(Self {
            blur: Blur::new(settings, width as usize, height as usize),
            raw_sum: plane.clone(),
            smooth_sum: plane.clone(),
            plane,
            own: AnomalyMap::zeros(width, height),
            raw: AnomalyMap::zeros(width, height),
            smooth: AnomalyMap::zeros(width, height),
        })
    }

    /// Begins a part.
    pub fn begin(&mut self) {
        self.raw_sum.fill(0.0);
        self.smooth_sum.fill(0.0);
    }

    /// Adds the map of one witness, before smoothing and in the witness's own unit. Gives the witness's own map to be
    /// scored: on the common scale (1.0 is 100 standard deviations of a good pixel), smoothed, 0 where it does not count.
    ///
    /// # Errors
    /// [`MapError::Size`] for a map of another size; [`MapError::Value`] if a value is no longer finite.
    pub fn add(&mut self, map: &AnomalyMap, share: Share, counted: &Counted) -> Result<&AnomalyMap, MapError> {
        if (map.width, map.height) != (self.own.width, self.own.height) {
            return Err(MapError::Size { width: map.width, height: map.height, got: map.values.len() });
        }
        let (weight, factor) = (share.weight(), share.factor());
        for ((plane, sum), &value) in self.plane.iter_mut().zip(&mut self.raw_sum).zip(&map.values) {
            *plane = factor * f64::from(value);
            *sum += weight * *plane;
        }
        // Smoothing is linear: the sum of smoothed maps is the smoothed sum.
        self.blur.apply(&mut self.plane);
        for (sum, plane) in self.smooth_sum.iter_mut().zip(&self.plane) {
            *sum += weight * plane;
        }
        round(&self.plane, &mut self.own.values);
        self.own.expect_valid()?;
        counted.clear_others(&mut self.own);
        Ok(&self.own)
    }

    /// Ends a part: the joined maps are ready.
    ///
    /// # Errors
    /// [`MapError::Value`] if a value is no longer finite.
    pub fn finish(&mut self, counted: &Counted) -> Result<(), MapError> {
        round(&self.raw_sum, &mut self.raw.values);
        self.raw.expect_valid()?;
        round(&self.smooth_sum, &mut self.smooth.values);
        self.smooth.expect_valid()?;
        counted.clear_others(&mut self.smooth);
        Ok(())
    }

    /// The joined map before smoothing, all of it.
    #[must_use]
    pub const fn raw(&self) -> &AnomalyMap {
        &self.raw
    }

    /// The joined map that is scored: 0 where it does not count.
    #[must_use]
    pub const fn smooth(&self) -> &AnomalyMap {
        &self.smooth
    }
}

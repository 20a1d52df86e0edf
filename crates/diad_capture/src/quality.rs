//! How good a picture is as a picture: brightness, clipping, sharpness. Says nothing of the part.

use diad_core::frame::{FrameError, PixelFormat, PixelsView, Roi};

/// Grey values from here on are clipped: the sensor could not tell them apart.
const CLIPPED: f32 = 254.0;
/// Grey values up to here are black.
const BLACK: f32 = 1.0;

/// Measures of one region of a picture, over its grey values of 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Mean grey value, 0 to 255.
    pub brightness: f64,
    /// Share of pixels that are clipped, 0 to 1.
    pub clipped: f64,
    /// Share of pixels that are black, 0 to 1.
    pub black: f64,
    /// Variance of the Laplacian (4 neighbours): small without sharp edges. 0 for regions with a side below 3 px.
    pub sharpness: f64,
}

impl Quality {
    /// Measures a region.
    ///
    /// # Errors
    /// [`FrameError::Roi`] if the region is not inside the picture.
    pub fn of(view: PixelsView<'_>, roi: Roi) -> Result<Self, FrameError> {
        view.expect_inside(roi)?;
        let row = |y: u32| -> Vec<f32> { (roi.x..roi.x + roi.width).map(|x| grey(&view, x, y)).collect() };
        let (mut sum, mut clipped, mut black) = (0.0, 0_u64, 0_u64);
        let mut edges = Spread::default();
        let mut rows: [Vec<f32>; 3] = [Vec::new(), Vec::new(), Vec::new()];
        for y in roi.y..roi.y + roi.height {
            let now = row(y);
            sum += now.iter().map(|value| f64::from(*value)).sum::<f64>();
            clipped += now.iter().filter(|value| **value >= CLIPPED).count() as u64;
            black += now.iter().filter(|value| **value <= BLACK).count() as u64;
            rows.rotate_left(1);
            rows[2] = now;
            let [above, middle, below] = &rows;
            for x in 1..middle.len().saturating_sub(1) {
                if let Some(&up) = above.get(x) {
                    edges.add(f64::from(up + below[x] + middle[x - 1] + middle[x + 1] - 4.0 * middle[x]));
                }
            }
        }
        let pixels = f64::from(roi.width) * f64::from(roi.height);
        Ok(Self {
            brightness: sum / pixels,
            clipped: clipped as f64 / pixels,
            black: black as f64 / pixels,
            sharpness: edges.variance(),
        })
    }
}

/// The grey value of a pixel inside the picture (ITU-R BT.601).
fn grey(view: &PixelsView<'_>, x: u32, y: u32) -> f32 {
    let at = (y as usize * view.width() as usize + x as usize) * view.format().bytes_per_pixel();
    match (view.format(), view.data().get(at..)) {
        (PixelFormat::Rgb8, Some(&[red, green, blue, ..])) => {
            0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)
        }
        (_, Some(&[value, ..])) => f32::from(value),
        _ => 0.0,
    }
}

#[derive(Default)]
struct Spread {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Spread {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        self.sum += value;
        self.squares += value * value;
    }

    fn variance(&self) -> f64 {
        if self.count == 0.0 { 0.0 } else { (self.squares / self.count - (self.sum / self.count).powi(2)).max(0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(width: u32, height: u32, value: impl Fn(u32, u32) -> u8) -> Quality {
        let data: Vec<u8> =
            (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| value(x, y)).collect();
        let view = PixelsView::try_new(width, height, PixelFormat::Mono8, &data).unwrap();
        Quality::of(view, view.full()).unwrap()
    }

    #[test]
    fn flat_pictures_have_their_grey_value_and_no_edge() {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        let grey = of(8, 6, |_, _| 100);
        assert!(near(grey.brightness, 100.0) && near(grey.sharpness, 0.0) && near(grey.clipped + grey.black, 0.0));
        assert!(near(of(8, 6, |_, _| 255).clipped, 1.0) && near(of(8, 6, |_, _| 0).black, 1.0));
        assert!(near(of(2, 2, |x, _| x as u8 * 255).sharpness, 0.0), "too small for an edge");
    }

    #[test]
    fn blur_lowers_sharpness() {
        let step = of(32, 32, |x, _| if x < 16 { 0 } else { 200 });
        let ramp = of(32, 32, |x, _| (x * 6) as u8);
        assert!(step.sharpness > 100.0 * ramp.sharpness.max(1e-6), "{step:?} {ramp:?}");
        // One column in fifteen inner pairs has +200 and one -200: variance 2 * 200^2 / 30.
        assert!((step.sharpness - 2.0 * 200.0_f64.powi(2) / 30.0).abs() < 1e-6, "{step:?}");
    }

    #[test]
    fn colours_count_by_their_weight_and_the_region_alone_is_measured() {
        let data = [255, 0, 0, 0, 255, 0];
        let view = PixelsView::try_new(2, 1, PixelFormat::Rgb8, &data).unwrap();
        let left = Quality::of(view, Roi { x: 0, y: 0, width: 1, height: 1 }).unwrap();
        assert!((left.brightness - 0.299 * 255.0).abs() < 1e-3, "{left:?}");
        assert!(Quality::of(view, Roi { x: 1, y: 0, width: 2, height: 1 }).is_err());
    }
}

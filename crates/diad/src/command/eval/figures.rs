//! The figures of a product: how well scores and maps tell defects from good parts.

use diad_core::metrics::{AuproRule, Curve, MaskedMap, MetricError, Ranking, RegionOverlap};

use super::curves::{Curves, POINTS};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Area under the ROC curve of the scores.
    ImageAuroc,
    /// Average precision of the scores.
    ImageAp,
    /// Best F1 of any cut-off on the scores.
    ImageF1Max,
    /// Area under the ROC curve of all map pixels of the product.
    PixelAuroc,
    /// Average precision of all map pixels.
    PixelAp,
    /// Best F1 of any cut-off on the map pixels.
    PixelF1Max,
    /// Area under the per-region overlap curve up to a false positive rate of 0.3.
    Aupro,
}

impl Figure {
    /// Every figure, in the order of the tables.
    pub const ALL: [Self; 7] = [
        Self::ImageAuroc,
        Self::ImageAp,
        Self::ImageF1Max,
        Self::PixelAuroc,
        Self::PixelAp,
        Self::PixelF1Max,
        Self::Aupro,
    ];

    /// The key in documents.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::ImageAuroc => "image_auroc",
            Self::ImageAp => "image_ap",
            Self::ImageF1Max => "image_f1_max",
            Self::PixelAuroc => "pixel_auroc",
            Self::PixelAp => "pixel_ap",
            Self::PixelF1Max => "pixel_f1_max",
            Self::Aupro => "aupro",
        }
    }

    /// The heading of a table's column.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::ImageAuroc => "image AUROC",
            Self::ImageAp => "image AP",
            Self::ImageF1Max => "image F1-max",
            Self::PixelAuroc => "pixel AUROC",
            Self::PixelAp => "pixel AP",
            Self::PixelF1Max => "pixel F1-max",
            Self::Aupro => "AUPRO",
        }
    }
}

/// Every figure of one product; one that is not defined (no good parts, no defects) carries the reason.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures([Result<f64, Missing>; Figure::ALL.len()]);

/// Why there is no figure.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Missing {
    /// It is not defined for these parts.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// Nobody knows which pixels are defect.
    #[error("no folder ground_truth, so it is not known which pixels are defect")]
    Masks,
}

/// A map beside its truth, row by row in model pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// Map values.
    pub map: Vec<f32>,
    /// Which pixels are defect.
    pub mask: Vec<bool>,
}

impl Figures {
    /// Measures a product, figures and curves: its ranked scores, and its maps of `size` (width, height) with their truth,
    /// if that is known.
    #[must_use]
    pub fn measure(scores: &Result<Ranking, MetricError>, maps: Option<&[Truth]>, size: (u32, u32)) -> (Self, Curves) {
        let ([image_auroc, image_ap, image_f1], image) = of_ranking(scores.as_ref().map_err(|error| (*error).into()));
        // The pixels are ranked and dropped before they are sorted once more for AUPRO: there are many of them.
        let pixels = maps.ok_or(Missing::Masks).and_then(|maps| {
            let pixels = maps.iter().flat_map(|truth| truth.map.iter().copied().zip(truth.mask.iter().copied()));
            Ok(Ranking::try_new(pixels)?)
        });
        let ([pixel_auroc, pixel_ap, pixel_f1], pixel) = of_ranking(pixels.as_ref().map_err(|missing| *missing));
        drop(pixels);
        let overlap = maps.ok_or(Missing::Masks).and_then(|maps| {
            let masked = maps.iter().map(|truth| MaskedMap::try_new(size.0, size.1, &truth.map, &truth.mask));
            Ok(RegionOverlap::try_new(&masked.collect::<Result<Vec<_>, _>>()?)?)
        });
        let (aupro, pro) = match &overlap {
            Ok(overlap) => (overlap.area(AuproRule::Field).map_err(Missing::from), Some(overlap.curve(POINTS))),
            Err(missing) => (Err(*missing), None),
        };
        let ([image_roc, image_pr], [pixel_roc, pixel_pr]) = (image, pixel);
        (
            Self([image_auroc, image_ap, image_f1, pixel_auroc, pixel_ap, pixel_f1, aupro]),
            Curves::new([image_roc, image_pr, pixel_roc, pixel_pr, pro]),
        )
    }

    /// One figure, or why there is none.
    pub const fn get(&self, figure: Figure) -> Result<f64, Missing> {
        self.0[figure as usize]
    }
}

/// AUROC, average precision and best F1, and the first two's curves.
fn of_ranking(ranking: Result<&Ranking, Missing>) -> ([Result<f64, Missing>; 3], [Option<Curve>; 2]) {
    (
        [Ranking::auroc, Ranking::average_precision, Ranking::f1_max].map(|figure| ranking.map(figure)),
        [Curve::roc, Curve::precision_recall].map(|curve| ranking.ok().map(|ranking| curve(ranking, POINTS))),
    )
}

/// The mean of a figure over those products that have it; none if no product does.
pub fn mean<'a>(figures: impl IntoIterator<Item = &'a Figures>, figure: Figure) -> Option<f64> {
    let values: Vec<f64> = figures.into_iter().filter_map(|figures| figures.get(figure).ok()).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::super::curves::CurveKind;
    use super::*;

    fn truth(map: [f32; 4], defect: usize) -> Truth {
        Truth { map: map.to_vec(), mask: (0..4).map(|i| i < defect).collect() }
    }

    #[test]
    fn measure_of_a_perfect_model_is_one_in_every_figure() {
        let maps = [truth([0.9, 0.8, 0.1, 0.2], 2), truth([0.3, 0.1, 0.0, 0.2], 0)];
        let (figures, curves) = Figures::measure(&Ranking::try_new([(0.9, true), (0.3, false)]), Some(&maps), (2, 2));
        for figure in Figure::ALL {
            assert_eq!(figures.get(figure), Ok(1.0), "{}", figure.key());
        }
        for kind in CurveKind::ALL {
            let area = curves.get(kind).unwrap().area() / kind.width();
            assert!((area - 1.0).abs() < 1e-12, "{}: {area}", kind.key());
        }
    }

    #[test]
    fn measure_without_defects_gives_no_figure_and_says_why() {
        let maps = [truth([0.3, 0.1, 0.0, 0.2], 0)];
        let (figures, curves) = Figures::measure(&Ranking::try_new([(0.3, false)]), Some(&maps), (2, 2));
        for figure in Figure::ALL {
            let missing = figures.get(figure).unwrap_err();
            assert!(matches!(missing, Missing::Metric(MetricError::OneClass { bad: 0, .. })), "{missing}");
        }
        assert_eq!(CurveKind::ALL.map(|kind| curves.get(kind)), [None; 5]);
        assert_eq!(mean([&figures], Figure::Aupro), None);
    }

    #[test]
    fn measure_without_good_parts_has_pixel_figures_only() {
        let maps = [truth([0.9, 0.8, 0.1, 0.2], 2)];
        let (figures, curves) = Figures::measure(&Ranking::try_new([(0.9, true)]), Some(&maps), (2, 2));
        let missing = figures.get(Figure::ImageAuroc).unwrap_err();
        assert_eq!(missing, Missing::Metric(MetricError::OneClass { bad: 1, total: 1 }));
        assert_eq!(figures.get(Figure::PixelAuroc), Ok(1.0));
        assert_eq!(CurveKind::ALL.map(|kind| curves.get(kind).is_some()), [false, false, true, true, true]);
    }

    #[test]
    fn measure_without_masks_has_image_figures_only() {
        let (figures, curves) = Figures::measure(&Ranking::try_new([(0.9, true), (0.3, false)]), None, (2, 2));
        assert_eq!(figures.get(Figure::ImageAuroc), Ok(1.0));
        for figure in [Figure::PixelAuroc, Figure::PixelAp, Figure::PixelF1Max, Figure::Aupro] {
            assert_eq!(figures.get(figure), Err(Missing::Masks), "{}", figure.key());
        }
        assert_eq!(CurveKind::ALL.map(|kind| curves.get(kind).is_some()), [true, true, false, false, false]);
    }

    #[test]
    fn mean_is_over_the_products_that_have_the_figure() {
        let of = |values: [Result<f64, Missing>; 3]| values.map(|value| Figures([value; 7]));
        let missing = Err(Missing::Masks);
        assert_eq!(mean(&of([Ok(0.5), missing, Ok(1.0)]), Figure::Aupro), Some(0.75));
    }
}

//! The curves of a product, and their mean over products.

use diad_core::metrics::Curve;

use super::figures::Figure;

/// Points of a curve, about: enough to draw it.
pub const POINTS: usize = 200;

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CurveKind {
    /// ROC of the scores.
    ImageRoc,
    /// Precision and recall of the scores.
    ImagePrecisionRecall,
    /// ROC of all map pixels of the product.
    PixelRoc,
    /// Precision and recall of all map pixels.
    PixelPrecisionRecall,
    /// Per-region overlap up to a false positive rate of 0.3.
    RegionOverlap,
}

impl CurveKind {
    /// Every curve, in the order of the report.
    pub const ALL: [Self; 5] =
        [Self::ImageRoc, Self::ImagePrecisionRecall, Self::PixelRoc, Self::PixelPrecisionRecall, Self::RegionOverlap];

    /// The key in documents.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::ImageRoc => "image_roc",
            Self::ImagePrecisionRecall => "image_precision_recall",
            Self::PixelRoc => "pixel_roc",
            Self::PixelPrecisionRecall => "pixel_precision_recall",
            Self::RegionOverlap => "region_overlap",
        }
    }

    /// The heading of its plot.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::ImageRoc => "Parts: ROC",
            Self::ImagePrecisionRecall => "Parts: precision and recall",
            Self::PixelRoc => "Pixels: ROC",
            Self::PixelPrecisionRecall => "Pixels: precision and recall",
            Self::RegionOverlap => "Regions: overlap",
        }
    }

    /// What the axes count, x first.
    #[must_use]
    pub const fn axes(self) -> (&'static str, &'static str) {
        match self {
            Self::ImageRoc => ("false-positive rate (share of good parts)", "defective parts caught (share)"),
            Self::ImagePrecisionRecall => {
                ("recall (share of defective parts caught)", "precision (share of the caught)")
            }
            Self::PixelRoc => ("false-positive rate (share of good pixels)", "defect pixels caught (share)"),
            Self::PixelPrecisionRecall => ("recall (share of defect pixels caught)", "precision (share of the caught)"),
            Self::RegionOverlap => ("false-positive rate (share of good pixels)", "mean share of a defect covered"),
        }
    }

    /// Where the curve ends, from 0.
    #[must_use]
    pub const fn width(self) -> f64 {
        match self {
            Self::RegionOverlap => 0.3,
            _ => 1.0,
        }
    }

    /// The figure that is the area below it, as a share of its width.
    #[must_use]
    pub const fn figure(self) -> Figure {
        match self {
            Self::ImageRoc => Figure::ImageAuroc,
            Self::ImagePrecisionRecall => Figure::ImageAp,
            Self::PixelRoc => Figure::PixelAuroc,
            Self::PixelPrecisionRecall => Figure::PixelAp,
            Self::RegionOverlap => Figure::Aupro,
        }
    }
}

/// The curves of a product; one is missing where its figure is.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves([Option<Curve>; CurveKind::ALL.len()]);

impl Curves {
    /// In the order of [`CurveKind::ALL`].
    #[must_use]
    pub const fn new(curves: [Option<Curve>; CurveKind::ALL.len()]) -> Self {
        Self(curves)
    }

    /// One curve.
    #[must_use]
    pub const fn get(&self, kind: CurveKind) -> Option<&Curve> {
        self.0[kind as usize].as_ref()
    }

    /// The mean of a curve over those products that have it; none if no product does. Scores of different products are
    /// not comparable, so it is the curves that are averaged, and the area is the mean of the figure.
    #[must_use]
    pub fn mean<'a>(curves: impl IntoIterator<Item = &'a Self>, kind: CurveKind) -> Option<Curve> {
        Curve::mean(&curves.into_iter().filter_map(|curves| curves.get(kind)).collect::<Vec<_>>(), POINTS)
    }
}

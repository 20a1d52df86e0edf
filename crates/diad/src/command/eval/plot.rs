//! Plots as inline SVG.

use diad_core::metrics::Ranking;
use plotters::prelude::*;

use super::measure::ProductResult;

/// A plot that could not be drawn.
pub type PlotError = DrawingAreaErrorKind<std::io::Error>;

/// Width and height of a plot, in CSS pixels.
const SIZE: (u32, u32) = (360, 260);

/// Bars of a histogram.
const BINS: usize = 32;

/// Good parts.
pub const GOOD: RGBColor = RGBColor(31, 119, 180);

/// Defective parts.
pub const DEFECTIVE: RGBColor = RGBColor(214, 85, 43);

const GRID: RGBColor = RGBColor(225, 228, 232);

/// Share of defects caught over the share of good parts caught by mistake, for every cut-off.
///
/// # Errors
/// [`PlotError`].
pub fn roc(ranking: &Ranking) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .x_labels(6)
            .y_labels(6)
            .x_desc("good parts called defective")
            .y_desc("defects caught")
            .draw()?;
        chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], GRID.stroke_width(2)))?;
        let (good, bad) = (ranking.good() as f64, ranking.bad() as f64);
        // Cuts with neither more good nor more bad ones than their neighbours lie on a straight line.
        let points = ranking.cuts().map(|cut| (cut.mistaken as f64 / good, cut.caught as f64 / bad));
        chart.draw_series(LineSeries::new(std::iter::once((0.0, 0.0)).chain(points), DEFECTIVE.stroke_width(2)))?;
        root.present()?;
    }
    Ok(svg)
}

/// How many good and defective parts have which score, and the best cut-off as a line.
///
/// # Errors
/// [`PlotError`].
pub fn histogram(product: &ProductResult) -> Result<String, PlotError> {
    let top = product.parts.iter().map(|part| part.score).fold(0.0, f32::max);
    // Scores that are all 0 still need an axis.
    let top = if top > 0.0 { top } else { 1.0 };
    let counts = |defective: bool| {
        let mut counts = [0_u32; BINS];
        for part in product.parts.iter().filter(|part| part.defective == defective) {
            let bin = (part.score / top * BINS as f32) as usize;
            counts[bin.min(BINS - 1)] += 1;
        }
        counts
    };
    let (good, defective) = (counts(false), counts(true));
    let highest = good.iter().chain(&defective).copied().max().unwrap_or(1).max(1);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..top, 0..highest + highest.div_ceil(12))?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .x_labels(6)
            .y_labels(5)
            .x_label_formatter(&|score| format!("{score:.2}"))
            .x_desc("score")
            .y_desc("parts")
            .draw()?;
        let step = top / BINS as f32;
        for (counts, colour) in [(good, GOOD), (defective, DEFECTIVE)] {
            let bars = counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(bin, &count)| {
                let left = bin as f32 * step;
                Rectangle::new([(left, 0), (left + step, count)], colour.mix(0.55).filled())
            });
            chart.draw_series(bars)?;
        }
        if let Some(cut) = product.best_cut() {
            let line = PathElement::new([(cut, 0), (cut, highest)], BLACK.mix(0.6).stroke_width(1));
            chart.draw_series([line])?;
        }
        root.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::measure::Scored;
    use super::*;

    fn product(scores: &[(f32, bool)]) -> ProductResult {
        let parts = scores
            .iter()
            .map(|&(score, defective)| Scored { path: PathBuf::new(), kind: "<k>".to_owned(), defective, score })
            .collect();
        ProductResult::new("a".to_owned(), parts, &[], (1, 1), &[])
    }

    #[test]
    fn roc_is_one_svg_with_two_lines() {
        let product = product(&[(0.1, false), (0.4, true), (0.3, false), (0.2, true)]);
        let svg = roc(product.ranking.as_ref().unwrap()).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(svg.contains("#D6552B") && svg.contains("defects caught"), "{svg}");
    }

    #[test]
    fn histogram_of_scores_that_are_all_zero_is_drawn() {
        for scores in [&[(0.0, false)][..], &[(0.0, true), (0.0, false)], &[(0.1, false), (0.7, true)]] {
            let svg = histogram(&product(scores)).unwrap();
            assert!(svg.contains("<rect") && svg.trim_end().ends_with("</svg>"), "{svg}");
            assert!(!svg.contains("NaN"), "{svg}");
        }
    }
}

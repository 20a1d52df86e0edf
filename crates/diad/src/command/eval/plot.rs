//! Plots as inline SVG, in colours that the colour-blind can tell apart (Okabe & Ito 2008) and, where colours repeat or are
//! lost in print, in lines of different dashes. The page's style sheet knows the colours and brightens them on dark paper.

use diad_core::judge::Thresholds;
use diad_core::metrics::Curve;
use maud::{Markup, html};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::comparison::Dot;
use super::curves::CurveKind;
use super::measure::ProductResult;

/// A plot that could not be drawn.
pub type PlotError = DrawingAreaErrorKind<std::io::Error>;

/// Width and height of a plot, in CSS pixels.
const SIZE: (u32, u32) = (360, 260);

/// Bars of a histogram.
const BINS: usize = 32;

/// A score axis goes on behind its last line, at least and at most this many times as far as the line.
const MARGIN: f32 = 1.25;
const BEYOND: f32 = 4.0;
/// It reaches at most this many times as far as the scores, so that a far line does not squeeze them.
const REACH: f32 = 3.0;

const GOOD: RGBColor = RGBColor(0, 114, 178);
const DEFECTIVE: RGBColor = RGBColor(213, 94, 0);
const GRID: RGBColor = RGBColor(225, 228, 232);

/// Colours of classes.
const COLOURS: [RGBColor; 6] =
    [DEFECTIVE, RGBColor(86, 180, 233), RGBColor(0, 158, 115), RGBColor(204, 121, 167), RGBColor(230, 159, 0), GOOD];

/// What is drawn and left out of a line, in pixels; none for a line without gaps.
type Dash = Option<(i32, i32)>;

/// Dashes of classes.
const DASHES: [Dash; 3] = [None, Some((7, 3)), Some((2, 3))];

/// How the line of a class is drawn; eighteen classes differ.
const fn pen(class: usize) -> (RGBColor, Dash) {
    (COLOURS[class % COLOURS.len()], DASHES[(class + class / COLOURS.len()) % DASHES.len()])
}

/// A piece of the line that [`curves`] draws for a class.
#[must_use]
pub fn swatch(class: usize) -> Markup {
    let (RGBColor(r, g, b), dash) = pen(class);
    html! {
        svg class="swatch" width="30" height="10" aria-hidden="true" {
            line x1="0" y1="5" x2="30" y2="5" stroke-width="2" stroke=(format!("#{r:02X}{g:02X}{b:02X}"))
                stroke-dasharray=[dash.map(|(on, off)| format!("{on} {off}"))] {}
        }
    }
}

/// One curve of every class that has it, each with the number of its pen, and their mean as a thick line. A single class
/// needs no mean.
///
/// # Errors
/// [`PlotError`].
pub fn curves(kind: CurveKind, classes: &[(usize, &Curve)], mean: &Curve, label: &str) -> Result<String, PlotError> {
    let (x_title, y_title) = kind.axes();
    draw(label, |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..kind.width(), 0.0..1.0)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&decimals(kind.width()))
            .y_label_formatter(&decimals(1.0))
            .x_desc(x_title)
            .y_desc(y_title)
            .draw()?;
        let points = |curve: &Curve| curve.points().iter().map(|point| (point.x, point.y)).collect::<Vec<_>>();
        if !matches!(kind, CurveKind::ImagePrecisionRecall | CurveKind::PixelPrecisionRecall) {
            // What guessing would give.
            chart.draw_series(LineSeries::new([(0.0, 0.0), (kind.width(), kind.width())], GRID.stroke_width(2)))?;
        }
        if classes.len() > 1 {
            for &(class, curve) in classes {
                let (colour, dash) = pen(class);
                match dash {
                    None => chart.draw_series(LineSeries::new(points(curve), colour.stroke_width(1)))?,
                    Some((on, off)) => {
                        let pieces = DashedLineSeries::new(points(curve), on, off, colour.stroke_width(1));
                        chart.draw_series(pieces)?
                    }
                };
            }
        }
        chart.draw_series(LineSeries::new(points(mean), BLACK.stroke_width(3)))?;
        Ok(())
    })
}

/// A figure against the time of a part: a dot for every candidate, in the colour of its pen and with its number; those on the
/// front are joined.
///
/// # Errors
/// [`PlotError`].
pub fn front(dots: &[Dot], figure: &str, label: &str) -> Result<String, PlotError> {
    let longest = dots.iter().map(|(_, ms, ..)| *ms).fold(1.0, f64::max) * 1.1;
    let lowest = (dots.iter().map(|(_, _, value, _)| *value).fold(1.0, f64::min) * 10.0).floor() / 10.0;
    let mut joined: Vec<(f64, f64)> = dots.iter().filter(|dot| dot.3).map(|(_, ms, value, _)| (*ms, *value)).collect();
    joined.sort_by(|a, b| a.0.total_cmp(&b.0));
    draw(label, |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..longest, lowest..1.0)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&decimals(longest))
            .y_label_formatter(&|value| format!("{value:.2}"))
            .x_desc("median of a part (ms)")
            .y_desc(figure)
            .draw()?;
        chart.draw_series(LineSeries::new(joined, BLACK.stroke_width(1)))?;
        for (place, ms, value, _) in dots {
            let style = TextStyle::from(("sans-serif", 12).into_font()).pos(Pos::new(HPos::Left, VPos::Bottom));
            let number = Text::new(format!("[{}]", place + 1), (5, -3), style);
            let dot = EmptyElement::at((*ms, *value)) + Circle::new((0, 0), 4, pen(*place).0.filled()) + number;
            chart.draw_series([dot])?;
        }
        Ok(())
    })
}

/// How many good parts (filled) and defective ones (outlined) have which score, with the thresholds in force or, for want
/// of them, the best cut-off. Scores beyond the axis are in the last bar.
///
/// # Errors
/// [`PlotError`].
pub fn histogram(product: &ProductResult, label: &str) -> Result<String, PlotError> {
    let top = end_of_scores(product);
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
    // Room for the names of two lines above the bars.
    let height = highest + highest.div_ceil(5);
    draw(label, |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..top, 0..height)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .x_labels(6)
            .y_labels(5)
            .x_label_formatter(&decimals(top))
            .x_desc("score (0 is like the good ones, no unit)")
            .y_desc("number of parts")
            .draw()?;
        let step = top / BINS as f32;
        let bars = |counts: [u32; BINS], style: ShapeStyle| {
            counts.into_iter().enumerate().filter(|(_, count)| *count > 0).map(move |(bin, count)| {
                let left = bin as f32 * step;
                Rectangle::new([(left, 0), (left + step, count)], style)
            })
        };
        chart.draw_series(bars(good, GOOD.mix(0.6).filled()))?;
        chart.draw_series(bars(defective, DEFECTIVE.mix(0.25).filled()))?;
        chart.draw_series(bars(defective, DEFECTIVE.stroke_width(2)))?;
        for (row, (name, cut, dash)) in (0..).zip(cuts(product)) {
            if cut > top {
                continue;
            }
            let line = [(cut, 0), (cut, height)];
            match dash {
                None => chart.draw_series(LineSeries::new(line, BLACK.stroke_width(2)))?,
                Some((on, off)) => chart.draw_series(DashedLineSeries::new(line, on, off, BLACK.stroke_width(2)))?,
            };
            // The names stand away from each other where there is room, and in any case one below the other.
            let is_left = cut > top * if row == 0 { 0.14 } else { 0.8 };
            let (side, gap) = if is_left { (HPos::Right, -5) } else { (HPos::Left, 5) };
            let style = TextStyle::from(("sans-serif", 12).into_font()).pos(Pos::new(side, VPos::Top));
            let text = EmptyElement::at((cut, height)) + Text::new(name, (gap, 2 + 14 * row), style);
            chart.draw_series([text])?;
        }
        Ok(())
    })
}

/// Names, scores and dashes of a product's lines.
fn cuts(product: &ProductResult) -> Vec<(&'static str, f32, Dash)> {
    let of_thresholds =
        |own: Thresholds| vec![("review", own.review().get(), Some((7, 4))), ("reject", own.reject().get(), None)];
    let best = || product.best_cut().map(|cut| ("best F1", cut, Some((2, 3)))).into_iter().collect();
    product.thresholds.map_or_else(best, of_thresholds)
}

/// Where the axis of a product's scores ends: so that what lies around its last line can be told apart, and above 0 also
/// if all scores are 0.
fn end_of_scores(product: &ProductResult) -> f32 {
    let top = product.parts.iter().map(|part| part.score).fold(0.0, f32::max);
    let line = cuts(product).last().map_or(0.0, |(_, cut, _)| *cut);
    let end = match (top > 0.0, line > 0.0) {
        (true, true) => top.min(line * BEYOND).max((line * MARGIN).min(top * REACH)),
        (true, false) => top,
        (false, _) => line * MARGIN,
    };
    if end > 0.0 { end } else { 1.0 }
}

/// Writes the numbers of an axis that ends at `end` so that its six labels differ.
fn decimals<T: Into<f64> + Copy>(end: T) -> impl Fn(&T) -> String {
    let digits = (1.0 - (end.into() / 5.0).log10().floor()).clamp(1.0, 7.0) as usize - 1;
    move |value| format!("{:.*}", digits, (*value).into())
}

/// Draws a plot that says what it is, also to those who cannot see it.
fn draw(
    label: &str,
    plot: impl FnOnce(&DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        plot(&root)?;
        root.present()?;
    }
    // The backend knows no title; the first tag is the picture's own.
    let opening = html! { title { (label) } }.into_string();
    let labelled = svg.replacen('>', &format!(">{opening}"), 1);
    let attributes = html! { svg role="img" aria-label=(label) {} }.into_string();
    Ok(labelled.replacen("<svg", attributes.trim_end_matches("></svg>"), 1))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use diad_core::judge::Thresholds;
    use diad_core::metrics::Ranking;
    use diad_core::score::Score;

    use super::super::measure::Scored;
    use super::*;

    fn product(scores: &[(f32, bool)], cuts: Option<(f32, f32)>) -> ProductResult {
        let parts = scores
            .iter()
            .map(|&(score, defective)| Scored {
                path: PathBuf::new(),
                kind: "<k>".to_owned(),
                defective,
                score,
                verdict: None,
                witnesses: Vec::new(),
            })
            .collect();
        let cut = |value| Score::try_new(value).unwrap();
        let thresholds = cuts.map(|(review, reject)| Thresholds::try_new(cut(review), cut(reject), 0).unwrap());
        ProductResult::new("a".to_owned(), thresholds, None, parts, None)
    }

    fn roc(scores: &[(f32, bool)]) -> Curve {
        Curve::roc(&Ranking::try_new(scores.iter().copied()).unwrap(), 200)
    }

    #[test]
    fn curves_are_one_labelled_svg_with_a_line_for_each_class() {
        let (first, second) = (roc(&[(0.1, false), (0.4, true)]), roc(&[(0.4, false), (0.1, true)]));
        let mean = Curve::mean(&[&first, &second], 200).unwrap();
        let svg = curves(CurveKind::ImageRoc, &[(0, &first), (2, &second)], &mean, "<ROC> of \"a\"").unwrap();
        assert!(svg.starts_with("<svg role=\"img\" aria-label=\"&lt;ROC&gt; of &quot;a&quot;\" "), "{svg}");
        assert!(svg.contains("<title>&lt;ROC&gt; of ") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(svg.contains("#D55E00") && svg.contains("#009E73") && svg.contains("false-positive rate"), "{svg}");
        // One class alone is the mean.
        let svg = curves(CurveKind::ImageRoc, &[(0, &first)], &first, "").unwrap();
        assert!(!svg.contains("#D55E00"), "{svg}");
    }

    #[test]
    fn pens_of_eighteen_classes_differ() {
        let mut pens: Vec<_> = (0..18).map(pen).map(|(RGBColor(r, g, b), dash)| (r, g, b, dash)).collect();
        pens.sort_unstable();
        pens.dedup();
        assert_eq!(pens.len(), 18);
    }

    #[test]
    fn histogram_of_any_scores_is_drawn_with_its_lines() {
        for (scores, cuts, names) in [
            (&[(0.0, false)][..], None, &[][..]),
            (&[(0.0, true), (0.0, false)], None, &["best F1"]),
            (&[(0.1, false), (0.7, true)], None, &["best F1"]),
            (&[(0.0, false)], Some((0.0, 0.0)), &["review", "reject"]),
            (&[(0.3, false), (0.3, true)], Some((0.2, 0.6)), &["review", "reject"]),
            // The reject line lies beyond the axis.
            (&[(0.1, false)], Some((0.2, 0.9)), &["review"]),
        ] {
            let svg = histogram(&product(scores, cuts), "scores").unwrap();
            assert!(svg.contains("<rect") && svg.trim_end().ends_with("</svg>"), "{svg}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            let told: Vec<_> = ["review", "reject", "best F1"].into_iter().filter(|name| svg.contains(name)).collect();
            assert_eq!(told, names, "{scores:?}");
        }
    }

    #[test]
    fn end_of_scores_shows_what_lies_around_the_lines() {
        for (score, cuts, want) in [
            (0.5, None, 0.5),
            (0.5, Some((0.05, 0.1)), 0.4),
            (0.3, Some((0.05, 0.1)), 0.3),
            (0.05, Some((0.05, 0.1)), 0.125),
            (0.01, Some((0.05, 0.1)), 0.03),
            (0.0, Some((0.05, 0.1)), 0.125),
            (0.5, Some((0.0, 0.0)), 0.5),
            (0.0, None, 1.0),
        ] {
            let end = end_of_scores(&product(&[(score, false)], cuts));
            assert!((end - want).abs() < 1e-6, "{score} {cuts:?}: {end}");
        }
    }

    #[test]
    fn decimals_tell_the_labels_of_an_axis_apart() {
        for (end, value, want) in [(1.0, 0.2, "0.2"), (0.3, 0.05, "0.05"), (0.04, 0.01, "0.010"), (30.0, 5.0, "5")] {
            assert_eq!(decimals(end)(&value), want, "{end}");
        }
    }
}

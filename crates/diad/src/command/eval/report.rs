//! The report: one HTML page that needs nothing but itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageError, RgbImage};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::document;
use super::error::EvalError;
use super::examples::{self, Example};
use super::figures::{Figure, mean};
use super::measure::{Evaluation, ProductResult};
use super::plot;
use crate::model::Model;
use crate::picture::encode_png;

const STYLE: &str = include_str!("report.css");

/// Draws the report. `dataset` is how the user named the data set.
///
/// # Errors
/// [`EvalError`]: a picture is gone, or a plot cannot be drawn.
pub fn render(evaluation: &Evaluation, dataset: &str, model: &mut Model) -> Result<String, EvalError> {
    let misses = examples::misses(evaluation, model)?;
    let alarms = examples::false_alarms(evaluation, model)?;
    let plots = evaluation.products.iter().map(product_plots).collect::<Result<Vec<_>, _>>()?;
    let name = &model.bundle.manifest().name;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Evaluation of " (name) " on " (dataset) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Evaluation of " (name) }
                dl {
                    dt { "Data set" } dd { (dataset) ", " (evaluation.images()) " images" }
                    dt { "Model" } dd { code { (model.digest) } }
                }
                (tiles(evaluation))
                (figures(evaluation))
                (sureness(evaluation))
                h2 { "Scores" }
                p class="key" {
                    span class="good" { "good" } " " span class="defective" { "defective" }
                    " The line is the cut-off with the best F1 on these very parts."
                }
                div class="plots" { @for plot in &plots { (plot) } }
                h2 { "Defects with the lowest scores" }
                (gallery(&misses, "missed")?)
                h2 { "Good parts with the highest scores" }
                (gallery(&alarms, "false alarm")?)
                (latencies(evaluation))
            }
        }
    };
    Ok(page.into_string())
}

/// The means at a glance.
fn tiles(evaluation: &Evaluation) -> Markup {
    let figures = || evaluation.products.iter().map(|product| &product.figures);
    html! {
        div class="tiles" {
            @for figure in [Figure::ImageAuroc, Figure::PixelAuroc, Figure::Aupro] {
                div { b { (cell(mean(figures(), figure))) } "mean " (figure.title()) }
            }
        }
    }
}

fn figures(evaluation: &Evaluation) -> Markup {
    html! {
        h2 { "Figures" }
        (cells(&document::table(evaluation)))
        @for reason in document::reasons(evaluation) { p class="note" { (reason) } }
        p class="note" {
            "The mean is over the classes that have the figure. Pixels are compared at the model's size; masks are \
             resized as the pictures are, and a pixel is defect where at least half of it is."
        }
    }
}

fn sureness(evaluation: &Evaluation) -> Markup {
    let rows = document::sureness(evaluation);
    html! {
        h2 { "How sure that is" }
        (cells(&rows))
        p class="note" {
            "Intervals are by the bootstrap over parts. The shortcut is the best AUROC of brightness, contrast, colour or \
             sharpness outside the marked defects: where it is high, the pictures of good and defective parts differ in \
             more than the defects, and the image AUROC says less than the pixel AUROC."
        }
    }
}

fn cells(rows: &[Vec<String>]) -> Markup {
    let (heading, rows) = rows.split_first().map_or((&[][..], &[][..]), |(first, rest)| (first.as_slice(), rest));
    html! {
        table {
            thead { tr { @for cell in heading { th { (cell) } } } }
            tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
        }
    }
}

fn product_plots(product: &ProductResult) -> Result<Markup, EvalError> {
    let roc = product.ranking.as_ref().map(plot::roc).transpose()?;
    let histogram = plot::histogram(product)?;
    Ok(html! {
        figure {
            figcaption { b { (product.name) } " image AUROC " (cell(product.figures.get(Figure::ImageAuroc).ok())) }
            (PreEscaped(histogram))
            @match roc {
                Some(roc) => (PreEscaped(roc)),
                None => p class="note" { "No ROC curve: it takes both good and defective parts." },
            }
        }
    })
}

fn gallery(examples: &[Example<'_>], wrong: &str) -> Result<Markup, EvalError> {
    let mut cards = Vec::with_capacity(examples.len());
    for example in examples {
        let pictures = [data_uri(&example.photo)?, data_uri(&example.overlay)?];
        let side = example.photo.width();
        cards.push(html! {
            figure {
                div { @for picture in &pictures { img src=(picture) width=(side) alt=""; } }
                figcaption {
                    b { (example.product) " / " (example.part.kind) } " "
                    @if example.is_wrong() { span class="wrong" { (wrong) } }
                    br;
                    (format!("score {:.4}, best cut-off {:.4}", example.part.score, example.cut))
                    br;
                    code { (example.part.path.display()) }
                }
            }
        });
    }
    Ok(html! {
        @if cards.is_empty() {
            p class="note" { "None: it takes a class with both good and defective parts." }
        }
        div class="gallery" { @for card in &cards { (card) } }
    })
}

/// Bars of the medians, scaled to that of the whole inspection.
fn latencies(evaluation: &Evaluation) -> Markup {
    let rows: Vec<_> = evaluation.latencies.rows().collect();
    let longest = rows.iter().map(|(_, times)| times.p50).fold(0.0, f64::max);
    html! {
        h2 { "Time for one part" }
        table class="latency" {
            thead { tr { th { "stage" } th { "p50, ms" } th { "p99, ms" } th { "" } } }
            tbody {
                @for (stage, times) in &rows {
                    tr {
                        td { (stage) }
                        td { (format!("{:.2}", times.p50)) }
                        td { (format!("{:.2}", times.p99)) }
                        td { span class="bar" style=(format!("width:{:.1}%", 100.0 * times.p50 / longest.max(f64::MIN_POSITIVE))) {} }
                    }
                }
            }
        }
        p class="note" { "From pixels to score, without reading the file." }
    }
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

fn data_uri(picture: &RgbImage) -> Result<String, ImageError> {
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(encode_png(picture)?)))
}

//! The report: one HTML page that needs nothing but itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use diad_core::metrics::Curve;
use image::{ImageError, RgbImage};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::comparison::{COMPARED, Comparison};
use super::curves::{CurveKind, Curves};
use super::document;
use super::error::EvalError;
use super::examples::{self, Example, Mistake};
use super::figures::{Figure, mean};
use super::measure::{Evaluation, ProductResult};
use super::plot;
use super::sureness::CONFIDENCE;
use crate::cli::EvalArgs;
use crate::model::Model;
use crate::picture::encode_jpeg;

const STYLE: &str = include_str!("report.css");

/// Draws the report.
///
/// # Errors
/// [`EvalError`]: a picture is gone, or a plot cannot be drawn.
pub fn render(
    evaluation: &Evaluation,
    args: &EvalArgs,
    model: &mut Model,
    comparison: Option<&Comparison<'_>>,
) -> Result<String, EvalError> {
    let misses = examples::worst(evaluation, Mistake::Miss, model)?;
    let false_rejects = examples::worst(evaluation, Mistake::FalseReject, model)?;
    let histograms = evaluation.products.iter().map(histogram).collect::<Result<Vec<_>, _>>()?;
    let name = &model.bundle.manifest().name;
    let dataset = args.dataset.to_string_lossy();
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
                    dt { "Thresholds" }
                    @match (&args.thresholds, &evaluation.thresholds) {
                        (Some(file), Some(set)) => dd { (file.display()) ", " code { (set.digest()) } },
                        _ => dd { "none; " code { "--thresholds FILE" } " judges by some" },
                    }
                }
                (tiles(evaluation))
                (figures(evaluation))
                @if let Some(comparison) = comparison { (compared(comparison)?) }
                (verdicts(evaluation))
                (curves(evaluation)?)
                h2 { "Scores" }
                (key(evaluation))
                div class="plots" { @for plot in &histograms { (plot) } }
                h2 { "Worst misses" }
                (gallery(evaluation, Mistake::Miss, &misses)?)
                h2 { "Worst false rejects" }
                (gallery(evaluation, Mistake::FalseReject, &false_rejects)?)
                (sureness(evaluation))
                (witnesses(evaluation))
                (latencies(evaluation))
            }
        }
    };
    Ok(page.into_string())
}

/// The means at a glance, and the mistakes.
fn tiles(evaluation: &Evaluation) -> Markup {
    let figures = || evaluation.products.iter().map(|product| &product.figures);
    let total = evaluation.confusion();
    let mistakes = [
        ("good parts rejected", total.and_then(|total| total.false_rejects())),
        ("defective parts passed", total.and_then(|total| total.misses())),
    ];
    html! {
        div class="tiles" {
            @for figure in [Figure::ImageAuroc, Figure::PixelAuroc, Figure::Aupro] {
                div { b { (cell(mean(figures(), figure))) } "mean " (figure.title()) }
            }
            @for (title, share) in mistakes {
                @if let Some(share) = share {
                    div { b { (format!("{:.1} %", 100.0 * share.value())) } (title) }
                }
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

/// Models and witnesses side by side.
fn compared(comparison: &Comparison<'_>) -> Result<Markup, EvalError> {
    let candidates = comparison.candidates();
    let curves: Vec<_> = candidates.iter().map(|candidate| candidate.curve(CurveKind::ImageRoc)).collect();
    let drawn: Vec<_> = curves.iter().enumerate().filter_map(|(place, curve)| Some((place, curve.as_ref()?))).collect();
    let roc = match drawn.first() {
        Some((_, first)) => {
            Some(plot::curves(CurveKind::ImageRoc, &drawn, first, "ROC of each candidate, mean of the classes")?)
        }
        None => None,
    };
    let mut fronts = Vec::new();
    for figure in COMPARED {
        let dots = comparison.dots(figure);
        if !dots.is_empty() {
            let label = format!("{} against the time of a part; the front is joined", figure.title());
            fronts.push((figure, plot::front(&dots, figure.title(), &label)?));
        }
    }
    Ok(html! {
        h2 { "Comparison" }
        (cells(&comparison.table()))
        p class="note" {
            "Each model as a whole, and some of its witnesses without the others, from the same maps. \u{201c}Banks alone\u{201d} \
             is what a nearest-neighbour detector with these features gives. The time is the median of this run on this machine; \
             it is not known for one of several witnesses that share a stage. On the front is what nothing beats in time and in \
             the figure."
        }
        ul class="legend" {
            @for (place, candidate) in candidates.iter().enumerate() {
                li { (plot::swatch(place)) "[" (place + 1) "] " (candidate.name()) }
            }
        }
        div class="plots" {
            @if let Some(roc) = &roc { figure { figcaption { b { "Parts: ROC" } } (PreEscaped(roc)) } }
            @for (figure, svg) in &fronts { figure { figcaption { b { (figure.title()) " and time" } } (PreEscaped(svg)) } }
        }
        @for figure in COMPARED { (cells(&comparison.by_product(figure))) }
    })
}

fn verdicts(evaluation: &Evaluation) -> Markup {
    html! {
        h2 { "Verdicts at the thresholds in force" }
        @if let Some(rows) = document::verdicts(evaluation) {
            (cells(&rows))
            p class="note" {
                "A false reject is a good part that is REJECT, a miss a defective part that is PASS. In brackets the exact \
                 binomial interval (Clopper and Pearson) that holds the true rate with " (CONFIDENCE * 100.0) "\u{a0}% \
                 confidence, for parts like these; a dash stands where there are no such parts."
            }
        } @else {
            p class="note" { "None: no thresholds were given. " code { "diad eval --thresholds FILE" } " judges by some." }
        }
    }
}

fn curves(evaluation: &Evaluation) -> Result<Markup, EvalError> {
    let products = &evaluation.products;
    let mut plots = Vec::with_capacity(CurveKind::ALL.len());
    for kind in CurveKind::ALL {
        plots.push(curve(products, kind, Curves::mean(products.iter().map(|product| &product.curves), kind).as_ref())?);
    }
    Ok(html! {
        h2 { "Curves" }
        @if products.len() > 1 {
            ul class="legend" {
                li { span class="mean" aria-hidden="true" {} "mean of the classes" }
                @for (class, product) in products.iter().enumerate() { li { (plot::swatch(class)) (product.name) } }
            }
        }
        div class="plots" { @for plot in &plots { (plot) } }
        p class="note" {
            "Classes are averaged at equal x, so the area below the thick line is the mean of the figure. The grey line \
             is what guessing gives. A curve has about 200 points."
        }
    })
}

fn curve(products: &[ProductResult], kind: CurveKind, mean_curve: Option<&Curve>) -> Result<Markup, EvalError> {
    let classes: Vec<_> = products.iter().map(|product| product.curves.get(kind)).enumerate().collect();
    let classes: Vec<_> = classes.into_iter().filter_map(|(class, curve)| Some((class, curve?))).collect();
    let figure = kind.figure();
    let value = cell(mean(products.iter().map(|product| &product.figures), figure));
    let svg = match mean_curve {
        Some(mean_curve) => {
            let (x, y) = kind.axes();
            let label = format!(
                "{}: {y} over {x}; {} of {} classes, mean {} {value}",
                kind.title(),
                classes.len(),
                products.len(),
                figure.title()
            );
            Some(plot::curves(kind, &classes, mean_curve, &label)?)
        }
        None => None,
    };
    Ok(html! {
        figure {
            figcaption { b { (kind.title()) } " " (figure.title()) " " (value) }
            @match svg {
                Some(svg) => (PreEscaped(svg)),
                None => p class="note" { "Not defined for any class; the reasons stand below the figures." },
            }
        }
    })
}

/// What bars and lines of the histograms mean.
fn key(evaluation: &Evaluation) -> Markup {
    html! {
        p class="key" {
            span class="good" { "good parts: filled" } " " span class="defective" { "defective parts: outlined" } " "
            @if evaluation.thresholds.is_some() {
                "The lines are the thresholds in force: review dashed, reject solid."
            } @else {
                "The dotted line is the cut-off with the best F1 on these very parts."
            }
            " Scores beyond the axis stand in the last bar."
        }
    }
}

fn histogram(product: &ProductResult) -> Result<Markup, EvalError> {
    let (good, defective) = product.counts();
    let lines = match &product.thresholds {
        Some(own) => format!("review at {}, reject at {}", own.review(), own.reject()),
        None => match product.best_cut() {
            Some(cut) => format!("best F1 at {cut:.4}"),
            None => "no cut-off: it takes good and defective parts".to_owned(),
        },
    };
    let label = format!("Scores of {}: {good} good and {defective} defective parts; {lines}", product.name);
    let svg = plot::histogram(product, &label)?;
    Ok(html! {
        figure {
            figcaption { b { (product.name) } " " (lines) }
            (PreEscaped(svg))
        }
    })
}

fn sureness(evaluation: &Evaluation) -> Markup {
    let rows = document::sureness(evaluation);
    html! {
        h2 { "How sure the figures are" }
        (cells(&rows))
        p class="note" {
            "Intervals are by the bootstrap over parts. The shortcut is the best AUROC of brightness, contrast, colour or \
             sharpness outside the marked defects: where it is high, the pictures of good and defective parts differ in \
             more than the defects, and the image AUROC says less than the pixel AUROC."
        }
    }
}

fn witnesses(evaluation: &Evaluation) -> Markup {
    html! {
        @if let Some(rows) = document::witnesses(evaluation) {
            h2 { "Who judged" }
            (cells(&rows))
            p class="note" {
                "The image AUROC that each witness would have alone, its weight in the joined map in brackets. A bank of good                  patches (bank:\u{2026}) is what a nearest-neighbour detector with the same features gives."
            }
        }
    }
}

fn cells(rows: &[Vec<String>]) -> Markup {
    let (heading, rows) = rows.split_first().map_or((&[][..], &[][..]), |(first, rest)| (first.as_slice(), rest));
    html! {
        div class="wide" {
            table {
                thead { tr { @for cell in heading { th scope="col" { (cell.replace(" %", "\u{a0}%")) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @if let Some((name, cells)) = row.split_first() {
                                th scope="row" { (name) }
                                @for cell in cells { td { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn gallery(evaluation: &Evaluation, mistake: Mistake, examples: &[Example<'_>]) -> Result<Markup, EvalError> {
    let count = examples::count(evaluation, mistake);
    let (wrong, what) = match mistake {
        Mistake::Miss => ("missed", "the defective parts with the lowest scores"),
        Mistake::FalseReject => ("false reject", "the good parts with the highest scores"),
    };
    let mut cards = Vec::with_capacity(examples.len());
    for example in examples {
        let pictures = [
            ("input", data_uri(&example.photo)?),
            ("reconstruction", data_uri(&example.reconstruction)?),
            ("heat map", data_uri(&example.heat_map)?),
            ("overlay", data_uri(&example.overlay)?),
        ];
        let side = example.photo.width();
        let part = example.part;
        let verdict = part.verdict.map_or("", |verdict| verdict.as_str());
        cards.push(html! {
            figure {
                div {
                    @for (name, picture) in &pictures {
                        figure {
                            img src=(picture) width=(side) alt=(format!("{name} of {}", part.path.display()));
                            figcaption { (name) }
                        }
                    }
                }
                figcaption {
                    b { (example.product) " / " (part.kind) } " " (verdict) " "
                    @if example.wrong { span class="wrong" { (wrong) } }
                    br;
                    (format!("score {:.4}, {} {:.4}", part.score, example.line.name, example.line.at))
                    br;
                    code { (part.path.display()) }
                }
            }
        });
    }
    Ok(html! {
        @if cards.is_empty() {
            p class="note" {
                "None: there are no such parts, or no line to hold them against; without thresholds that takes a class with \
                 both good and defective parts."
            }
        } @else {
            p class="note" {
                (count) " in all. Shown are " (what) ", as a share of their product's line; those on the wrong side of it \
                 come first and are marked \u{201c}" (wrong) "\u{201d}."
            }
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
            thead {
                tr { th scope="col" { "stage" } th scope="col" { "median, ms" } th scope="col" { "p99, ms" } th { "median" } }
            }
            tbody {
                @for (stage, times) in &rows {
                    tr {
                        th scope="row" { (stage) }
                        td { (format!("{:.2}", times.p50)) }
                        td { (format!("{:.2}", times.p99)) }
                        td { span class="bar" style=(format!("width:{:.1}%", 100.0 * times.p50 / longest.max(f64::MIN_POSITIVE))) {} }
                    }
                }
            }
        }
        p class="note" { "From pixels to score, on this machine, without reading the file. p99: 99 of 100 parts take at most that long." }
    }
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

fn data_uri(picture: &RgbImage) -> Result<String, ImageError> {
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(encode_jpeg(picture)?)))
}

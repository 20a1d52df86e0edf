//! What serde cannot say: ranges of numbers, and shapes that must agree between graphs.

use std::collections::BTreeSet;
use std::fmt::Display;

use diad_core::name::ProductName;
use diad_core::schedule::TRAIN_STEPS;

use super::{
    Dim, Dims, Dtype, Graph, GraphName, Manifest, ManifestError, OverlayEntry, Posterior, RepresentationSpec, Sampler,
    TensorSpec,
};
use crate::foundation::{FoundationMark, is_name};

/// Largest accepted side of the model's input or extent of a shape: bounds what a bundle can cost.
const MAX_EXTENT: usize = 8192;
/// Largest accepted number of values of one tensor for one part.
const MAX_VALUES: usize = 1 << 28;

/// Refuses a manifest whose numbers are out of range or whose graphs do not agree.
pub(super) fn check(manifest: &Manifest) -> Result<(), ManifestError> {
    check_texts(manifest)?;
    check_numbers(manifest)?;
    check_sampler("sampler", &manifest.sampler, manifest.schedule.train_steps)?;
    check_calibration(manifest)?;
    check_graphs(manifest)?;
    check_beside(manifest)
}

/// Refuses `found` unless `holds`.
pub(crate) fn expect(
    holds: bool,
    field: &str,
    found: &dyn Display,
    allowed: &'static str,
) -> Result<(), ManifestError> {
    if holds {
        Ok(())
    } else {
        Err(ManifestError::Value { field: field.to_owned(), found: found.to_string(), allowed })
    }
}

fn positive(field: &str, value: f64) -> Result<(), ManifestError> {
    expect(value.is_finite() && value > 0.0, field, &value, "a finite number above 0")
}

fn not_negative(field: &str, value: f64) -> Result<(), ManifestError> {
    expect(value.is_finite() && value >= 0.0, field, &value, "a finite number of at least 0")
}

fn check_texts(manifest: &Manifest) -> Result<(), ManifestError> {
    let name = &manifest.name;
    let printable = !name.is_empty() && name.len() <= 128 && !name.chars().any(char::is_control);
    expect(printable, "name", &format_args!("{name:?}"), "1 to 128 printable bytes")?;
    let mut seen = BTreeSet::new();
    for (index, product) in manifest.products.iter().enumerate() {
        let good = ProductName::try_new(product).is_ok() && seen.insert(product);
        let allowed = "a product name (letters, digits and ._-:@, at most 64 bytes) that is listed once";
        expect(good, &format!("products[{index}]"), &format_args!("{product:?}"), allowed)?;
    }
    Ok(())
}

fn check_numbers(manifest: &Manifest) -> Result<(), ManifestError> {
    let Manifest { input, latent, schedule, map, score, .. } = manifest;
    for (field, side) in [("input.width", input.width), ("input.height", input.height)] {
        expect((1..=MAX_EXTENT).contains(&(side as usize)), field, &side, "1 to 8192 px")?;
    }
    for channel in 0..3 {
        let mean = input.mean[channel];
        expect(mean.is_finite(), &format!("input.mean[{channel}]"), &mean, "a finite number")?;
        positive(&format!("input.std[{channel}]"), f64::from(input.std[channel]))?;
    }

    positive("latent.scale", f64::from(latent.scale))?;
    let (given, wanted, allowed) = match latent.posterior {
        Posterior::Mean => (latent.posterior_noise.is_some(), false, "null, for posterior is \"mean\""),
        Posterior::Sample => (latent.posterior_noise.is_some(), true, "a file, for posterior is \"sample\""),
    };
    expect(given == wanted, "latent.posterior_noise", &(if given { "a file" } else { "null" }), allowed)?;

    let train_steps = schedule.train_steps;
    expect(train_steps as usize == TRAIN_STEPS, "schedule.train_steps", &train_steps, "1000")?;
    let below_one = |beta: f64| beta > 0.0 && beta < 1.0;
    expect(below_one(schedule.beta_start), "schedule.beta_start", &schedule.beta_start, "above 0 and below 1")?;
    let rising = below_one(schedule.beta_end) && schedule.beta_end >= schedule.beta_start;
    expect(rising, "schedule.beta_end", &schedule.beta_end, "at least beta_start and below 1")?;

    for (index, weight) in map.layer_weights.iter().enumerate() {
        not_negative(&format!("map.layer_weights[{index}]"), f64::from(*weight))?;
    }
    let sum: f32 = map.layer_weights.iter().sum();
    expect(sum.is_finite() && sum > 0.0, "map.layer_weights", &format_args!("{:?}", map.layer_weights), "not all 0")?;
    let sigma = map.blur_sigma_px;
    expect((0.0..=1000.0).contains(&sigma), "map.blur_sigma_px", &sigma, "0 to 1000 px")?;
    let truncate = map.blur_truncate;
    expect(truncate > 0.0 && truncate <= 100.0, "map.blur_truncate", &truncate, "above 0 and at most 100")?;

    expect(score.window_px >= 1, "score.window_px", &score.window_px, "at least 1")?;
    expect(score.times >= 1, "score.times", &score.times, "at least 1")?;
    let shrunk = u64::from(score.window_px - 1) * u64::from(score.times);
    let fits = shrunk < u64::from(input.width.min(input.height));
    let found = format!("{} times {}", score.times, score.window_px);
    expect(
        fits,
        "score",
        &found,
        "small enough to leave a pixel: times x (window_px - 1) below the input's shorter side",
    )
}

fn check_sampler(at: &str, sampler: &Sampler, train_steps: u32) -> Result<(), ManifestError> {
    let field = |key: &str| format!("{at}.{key}");
    let eta = sampler.eta;
    let allowed = "0: noise per step would give the same pixels another score each time";
    expect(eta == 0.0, &field("eta"), &eta, allowed)?;
    let start = sampler.start;
    expect(start < train_steps, &field("start"), &start, "below schedule.train_steps")?;
    expect(!sampler.steps.is_empty(), &field("steps"), &"empty", "at least one step")?;
    let mut above = start.saturating_add(1);
    for (index, step) in sampler.steps.iter().enumerate() {
        let allowed = "at most the sampler's start and below the step before it";
        expect(*step < above, &field(&format!("steps[{index}]")), step, allowed)?;
        above = *step;
        let known = sampler.known.as_ref().is_none_or(|known| known.contains(step));
        expect(known, &field(&format!("steps[{index}]")), step, "one of the sampler's known steps")?;
    }
    let known = sampler.known.as_deref().unwrap_or_default();
    let descending = known.windows(2).all(|pair| pair[0] > pair[1]);
    expect(descending, &field("known"), &format_args!("{known:?}"), "steps in descending order")?;
    expect(sampler.last_previous < above, &field("last_previous"), &sampler.last_previous, "below the last step")
}

fn check_calibration(manifest: &Manifest) -> Result<(), ManifestError> {
    for (product, row) in &manifest.calibration {
        let path = format!("calibration.{product}");
        expect(manifest.products.contains(product), &path, &"not a product", "one of products")?;
        expect(row.parts >= 1, &format!("{path}.parts"), &row.parts, "at least 1")?;
        for (key, value) in [
            ("mean", row.mean),
            ("std", row.std),
            ("p50", row.p50),
            ("p95", row.p95),
            ("p99", row.p99),
            ("max", row.max),
        ] {
            not_negative(&format!("{path}.{key}"), value)?;
        }
        let rising = row.p50 <= row.p95 && row.p95 <= row.p99 && row.p99 <= row.max;
        let found = format!("p50 {}, p95 {}, p99 {}, max {}", row.p50, row.p95, row.p99, row.max);
        expect(rising, &path, &found, "p50 <= p95 <= p99 <= max")?;
    }
    Ok(())
}

fn check_graphs(manifest: &Manifest) -> Result<(), ManifestError> {
    let graphs = &manifest.graphs;
    let image = [3, manifest.input.height as usize, manifest.input.width as usize];
    for (name, graph) in graphs.named() {
        check_names(name, graph)?;
    }

    let latent = check_denoiser(GraphName::Denoiser, &graphs.denoiser)?;
    let hint = extents(GraphName::Denoiser, &graphs.denoiser.inputs[1])?;
    let [channels, height, width] = latent;

    let [tensor] = exactly(GraphName::Encoder, "inputs", &graphs.encoder.inputs, "1")?;
    expect_extents(GraphName::Encoder, tensor, image)?;
    let [tensor] = exactly(GraphName::Encoder, "outputs", &graphs.encoder.outputs, "1")?;
    expect_extents(GraphName::Encoder, tensor, [2 * channels, height, width])?;

    let [tensor] = exactly(GraphName::Hint, "inputs", &graphs.hint.inputs, "1")?;
    expect_extents(GraphName::Hint, tensor, image)?;
    let [tensor] = exactly(GraphName::Hint, "outputs", &graphs.hint.outputs, "1")?;
    expect_extents(GraphName::Hint, tensor, hint)?;

    let [tensor] = exactly(GraphName::Decoder, "inputs", &graphs.decoder.inputs, "1")?;
    expect_extents(GraphName::Decoder, tensor, latent)?;
    let [tensor] = exactly(GraphName::Decoder, "outputs", &graphs.decoder.outputs, "1")?;
    expect_extents(GraphName::Decoder, tensor, image)?;

    let [tensor] = exactly(GraphName::Features, "inputs", &graphs.features.inputs, "1")?;
    expect_extents(GraphName::Features, tensor, image)?;
    let layers = &graphs.features.outputs;
    for tensor in layers {
        extents(GraphName::Features, tensor)?;
    }
    let weights = manifest.map.layer_weights.len();
    let allowed = "one weight per output of graph features, at least one";
    expect(weights == layers.len() && weights > 0, "map.layer_weights", &format_args!("{weights} weights"), allowed)
}

/// What a model may have beside its networks in pixels.
fn check_beside(manifest: &Manifest) -> Result<(), ManifestError> {
    let mut seen = BTreeSet::new();
    for (index, FoundationMark { name, .. }) in manifest.foundations.iter().enumerate() {
        let allowed = "the name of a foundation (lowercase letters, digits and -), listed once";
        let good = is_name(name) && seen.insert(name);
        expect(good, &format!("foundations[{index}].name"), &format_args!("{name:?}"), allowed)?;
    }
    let mut seen = BTreeSet::new();
    for (index, OverlayEntry { product, .. }) in manifest.overlays.iter().enumerate() {
        let good = ProductName::try_new(product).is_ok() && seen.insert(product);
        let allowed = "a product name that has one overlay";
        expect(good, &format!("overlays[{index}].product"), &format_args!("{product:?}"), allowed)?;
    }
    manifest.representation.as_ref().map_or(Ok(()), |representation| check_representation(manifest, representation))
}

fn check_representation(manifest: &Manifest, representation: &RepresentationSpec) -> Result<(), ManifestError> {
    let RepresentationSpec { foundation, groups, graphs, sampler, .. } = representation;
    let listed = manifest.foundations.iter().any(|mark| mark.name == *foundation);
    expect(listed, "representation.foundation", &format_args!("{foundation:?}"), "one of foundations")?;
    check_sampler("representation.sampler", sampler, manifest.schedule.train_steps)?;
    for (name, graph) in graphs.named() {
        check_names(name, graph)?;
    }
    let latent = check_denoiser(GraphName::LatentDenoiser, &graphs.denoiser)?;
    let hint = extents(GraphName::LatentDenoiser, &graphs.denoiser.inputs[1])?;
    for (name, graph, output) in
        [(GraphName::LatentEncoder, &graphs.encoder, latent), (GraphName::LatentHint, &graphs.hint, hint)]
    {
        let [tensor] = exactly(name, "inputs", &graph.inputs, "1")?;
        expect_extents(name, tensor, latent)?;
        let [tensor] = exactly(name, "outputs", &graph.outputs, "1")?;
        expect_extents(name, tensor, output)?;
    }
    let whole = groups.iter().all(|group| *group >= 1)
        && groups.iter().try_fold(0_usize, |sum, group| sum.checked_add(*group)) == Some(latent[0]);
    let allowed = "channel counts that add up to those of the latent";
    expect(whole, "representation.groups", &format_args!("{groups:?}"), allowed)
}

/// Checks a denoiser's inputs and output, and gives the extents of its latent.
fn check_denoiser(name: GraphName, graph: &Graph) -> Result<[usize; 3], ManifestError> {
    let [latent, hint, step] = exactly(name, "inputs", &graph.inputs, "3")?;
    let latent = extents(name, latent)?;
    extents(name, hint)?;
    if step.dtype != Dtype::Int64 || step.shape != Dims(vec![Dim::Batch]) {
        let found = format!("{:?} {}", step.dtype, step.shape);
        let wanted = "Int64 [N]".to_owned();
        return Err(ManifestError::Shape { graph: name, tensor: step.name.clone(), found, wanted });
    }
    let [tensor] = exactly(name, "outputs", &graph.outputs, "1")?;
    expect_extents(name, tensor, latent)?;
    Ok(latent)
}

fn check_names(graph: GraphName, spec: &Graph) -> Result<(), ManifestError> {
    for (side, tensors) in [("inputs", &spec.inputs), ("outputs", &spec.outputs)] {
        let mut seen = BTreeSet::new();
        for (index, tensor) in tensors.iter().enumerate() {
            let field = format!("graphs.{graph}.{side}[{index}].name");
            let good = !tensor.name.is_empty() && seen.insert(&tensor.name);
            expect(good, &field, &format_args!("{:?}", tensor.name), "a name that the graph uses once")?;
        }
    }
    Ok(())
}

fn exactly<'a, const N: usize>(
    graph: GraphName,
    side: &'static str,
    tensors: &'a [TensorSpec],
    wanted: &'static str,
) -> Result<&'a [TensorSpec; N], ManifestError> {
    tensors.try_into().map_err(|_| ManifestError::Count { graph, side, found: tensors.len(), wanted })
}

/// Channels, height and width of a `float32` tensor `["N", channels, height, width]`.
fn extents(graph: GraphName, tensor: &TensorSpec) -> Result<[usize; 3], ManifestError> {
    let good = |extent: &usize| (1..=MAX_EXTENT).contains(extent);
    match tensor.shape.0[..] {
        [Dim::Batch, Dim::Fixed(channels), Dim::Fixed(height), Dim::Fixed(width)]
            if tensor.dtype == Dtype::Float32
                && [channels, height, width].iter().all(good)
                && channels * height * width <= MAX_VALUES =>
        {
            Ok([channels, height, width])
        }
        _ => {
            let found = format!("{:?} {}", tensor.dtype, tensor.shape);
            let wanted = "Float32 [N, channels, height, width], each 1 to 8192".to_owned();
            Err(ManifestError::Shape { graph, tensor: tensor.name.clone(), found, wanted })
        }
    }
}

fn expect_extents(graph: GraphName, tensor: &TensorSpec, wanted: [usize; 3]) -> Result<(), ManifestError> {
    if extents(graph, tensor)? == wanted {
        return Ok(());
    }
    let [channels, height, width] = wanted;
    let wanted = format!("[N, {channels}, {height}, {width}]");
    Err(ManifestError::Shape { graph, tensor: tensor.name.clone(), found: tensor.shape.to_string(), wanted })
}

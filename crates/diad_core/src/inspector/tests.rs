mod joined;

use proptest::prelude::*;

use super::*;
use crate::frame::PixelFormat;
use crate::schedule::{Schedule, Step};
use crate::testing::{Golden, Near};

const SIDE: usize = 24;
const IMAGE: Shape = [1, 3, SIDE, SIDE];

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the network {0} is broken")]
struct Broken(Stage);

/// Networks that know the truth: latent = image, the noise is the one that was added, features = the picture
/// itself and its left top quarter. A `stain` in the input is left out of the reconstruction.
struct Fake {
    shapes: GraphShapes,
    noise: Tensor,
    stain: Option<usize>,
    /// The stage whose network gives one bad number, and the number.
    poison: Option<(Stage, f32)>,
    broken: Option<Stage>,
}

impl Fake {
    fn new() -> Self {
        let features = vec![[2, 3, SIDE, SIDE], [2, 3, SIDE / 2, SIDE / 2]];
        let shapes = GraphShapes { image: IMAGE, latent: IMAGE, hint: [1, 2, SIDE, SIDE], features };
        Self { shapes, noise: noise(), stain: None, poison: None, broken: None }
    }

    fn finish(&self, stage: Stage, out: &mut Tensor) -> Result<(), Broken> {
        if let Some((_, value)) = self.poison.filter(|poison| poison.0 == stage) {
            let last = out.data().len() - 1;
            out.data_mut()[last] = value;
        }
        if self.broken == Some(stage) { Err(Broken(stage)) } else { Ok(()) }
    }
}

impl Graphs for Fake {
    type Error = Broken;

    fn shapes(&self) -> &GraphShapes {
        &self.shapes
    }

    fn encode(&mut self, image: &Tensor, moments: &mut Tensor) -> Result<(), Broken> {
        let (mean, log_variance) = moments.data_mut().split_at_mut(image.data().len());
        mean.copy_from_slice(image.data());
        log_variance.fill(-100.0);
        self.finish(Stage::Encode, moments)
    }

    fn hint(&mut self, _: &Tensor, hint: &mut Tensor) -> Result<(), Broken> {
        hint.data_mut().fill(1.0);
        self.finish(Stage::Hint, hint)
    }

    fn predict_noise(&mut self, _: &Tensor, _: &Tensor, _: Step, noise: &mut Tensor) -> Result<(), Broken> {
        noise.data_mut().copy_from_slice(self.noise.data());
        self.finish(Stage::Denoise, noise)
    }

    fn decode(&mut self, latent: &Tensor, reconstruction: &mut Tensor) -> Result<(), Broken> {
        for (to, z) in reconstruction.data_mut().iter_mut().zip(latent.data()) {
            *to = z * 2.0;
        }
        if let Some(pixel) = self.stain {
            // Only in red and green: another direction, which a cosine sees.
            reconstruction.data_mut()[pixel] += 50.0;
            reconstruction.data_mut()[SIDE * SIDE + pixel] -= 50.0;
        }
        self.finish(Stage::Decode, reconstruction)
    }

    fn features(&mut self, pair: &Tensor, layers: &mut [Tensor]) -> Result<(), Broken> {
        layers[0].data_mut().copy_from_slice(pair.data());
        let half = SIDE / 2;
        for (index, value) in layers[1].data_mut().iter_mut().enumerate() {
            let (plane, y, x) = (index / (half * half), index / half % half, index % half);
            *value = pair.data()[plane * SIDE * SIDE + y * SIDE + x];
        }
        self.finish(Stage::Features, &mut layers[1])
    }
}

/// Some noise, the same every time.
fn noise() -> Tensor {
    let values = (0..3 * SIDE * SIDE).map(|i| ((i * 7919) % 101) as f32 / 50.0 - 1.0).collect();
    Tensor::from_vec(IMAGE, values).unwrap()
}

fn ddim(start: u32, steps: &[Step]) -> Ddim {
    let schedule = Schedule::scaled_linear(0.000_85, 0.012).unwrap();
    Ddim::try_new(&schedule, Step::try_new(start).unwrap(), steps, Step::try_new(0).unwrap()).unwrap()
}

fn method() -> Method {
    Method {
        input: InputSpec::try_new(SIDE as u32, SIDE as u32, [0.5; 3], [0.25; 3]).unwrap(),
        latent_scale: 0.5,
        posterior: Posterior::Mean,
        // Noised at the step that the networks are told first, so that the true noise leads all the way back.
        ddim: ddim(901, &Ddim::reference_steps(10).unwrap()),
        start_noise: noise(),
        map: MapSettings::try_new(vec![1.0, 1.0], 1.0, 4.0).unwrap(),
        score: ScoreRule::try_new(2, 2).unwrap(),
        representation: None,
    }
}

fn picture() -> Vec<u8> {
    (0..60 * 48 * 3).map(|i| (40 + i % 3 * 60 + i / 180) as u8).collect()
}

const ROI: Roi = Roi { x: 6, y: 0, width: 48, height: 48 };

fn pixels(data: &[u8]) -> PixelsView<'_> {
    PixelsView::try_new(60, 48, PixelFormat::Rgb8, data).unwrap()
}

/// Notes what it is told.
#[derive(Default)]
struct Notes {
    stages: Vec<Stage>,
    arrays: Vec<(ArrayName, Shape, Vec<f32>)>,
}

impl Probe for Notes {
    fn entering(&mut self, stage: Stage) {
        self.stages.push(stage);
    }

    fn array(&mut self, name: ArrayName, shape: Shape, values: &[f32]) {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
        self.arrays.push((name, shape, values.to_vec()));
    }
}

#[test]
fn inspect_of_a_part_that_is_rebuilt_well_scores_next_to_nothing() {
    let mut inspector = Inspector::try_new(Fake::new(), method()).unwrap();
    let data = picture();
    let inspection = inspector.inspect(pixels(&data), ROI, &mut ()).unwrap();
    // The noise of step 0 is left in the reconstruction: 3 percent of the noise beside values around 1.
    assert!(inspection.score < Score::try_new(0.05).unwrap(), "{}", inspection.score);
}

#[test]
fn inspect_finds_the_place_of_a_defect_in_the_frame() {
    let (x, y) = (15, 7);
    let mut inspector = Inspector::try_new(Fake { stain: Some(y * SIDE + x), ..Fake::new() }, method()).unwrap();
    let data = picture();
    let inspection = inspector.inspect(pixels(&data), ROI, &mut ()).unwrap();
    assert!(inspection.score > Score::try_new(0.1).unwrap(), "{}", inspection.score);
    let Roi { x: left, y: top, width, height } = inspection.region;
    // Model pixels are two frame pixels wide; the region starts at 6.
    let (x, y) = (6 + 2 * x as u32, 2 * y as u32);
    assert!((left..left + width).contains(&x) && (top..top + height).contains(&y), "{:?}", inspection.region);
    assert!(width < 16 && height < 16, "{:?}", inspection.region);
    let whole = inspection.area_at_least(Score::try_new(0.0).unwrap());
    assert!(Near::abs(1e-9).equal(whole, 48.0 * 48.0));
}

#[test]
fn inspect_under_a_mask_sees_nothing_of_what_does_not_count() {
    let (x, y) = (15, 7);
    let mut inspector = Inspector::try_new(Fake { stain: Some(y * SIDE + x), ..Fake::new() }, method()).unwrap();
    let data = picture();
    // The stain in the frame, with what the blur makes of it: all that is above 0.1.
    let around = Roi { x: 6 + 2 * 15 - 16, y: 0, width: 34, height: 32 };
    let mut run = |mask: &Mask| {
        let inspection = inspector.inspect_under(mask, pixels(&data), ROI, &mut ()).unwrap();
        let area = |cut| inspection.area_at_least(Score::try_new(cut).unwrap());
        (inspection.score, inspection.region, area(0.0), area(0.1), inspection.map.clone())
    };
    let plain = run(Mask::EVERYTHING);
    let whole = run(&Mask::new(
        Some(Roi { x: 0, y: 0, width: 60, height: 48 }),
        vec![Roi { x: 0, y: 0, width: 6, height: 48 }],
    ));
    assert_eq!(whole, plain, "a mask that leaves out nothing of what the model sees changes no bit");

    let (score, region, of_all, of_hot, _) = run(&Mask::new(None, vec![around]));
    assert!(score < Score::try_new(0.1).unwrap() && plain.0 > Score::try_new(0.1).unwrap(), "{score} of {}", plain.0);
    Near::abs(1e-9).check("area", &[of_hot, of_all], &[0.0, 48.0 * 48.0 - 34.0 * 32.0]);
    assert!(plain.3 > 0.0);
    let left_out = |x: u32, y: u32| (around.x..around.x + around.width).contains(&x) && y < around.height;
    assert!(!left_out(region.x, region.y), "{region:?}");

    let (score, region, of_all, ..) = run(&Mask::new(Some(around), vec![]));
    assert!(score > Score::try_new(0.1).unwrap() && score <= plain.0, "{score}");
    assert!(Near::abs(1e-9).equal(of_all, 34.0 * 32.0) && left_out(region.x, region.y), "{region:?}, {of_all} px");
}

#[test]
fn inspect_under_a_mask_that_leaves_nothing_gives_no_score_and_goes_on_with_the_next_part() {
    let mut inspector = Inspector::try_new(Fake::new(), method()).unwrap();
    let data = picture();
    let plain = inspector.inspect(pixels(&data), ROI, &mut ()).unwrap().score;
    let all = Roi { x: 0, y: 0, width: 60, height: 48 };
    // The second roi lies inside the picture, where the model does not look.
    for mask in [Mask::new(None, vec![all]), Mask::new(Some(Roi { x: 0, y: 0, width: 6, height: 48 }), vec![])] {
        let refused = inspector.inspect_under(&mask, pixels(&data), ROI, &mut ()).map(|i| i.score);
        assert!(matches!(refused, Err(InspectError::Mask(_))), "{refused:?}");
        assert_eq!(inspector.inspect(pixels(&data), ROI, &mut ()).unwrap().score, plain);
    }
}

#[test]
fn inspect_tells_the_probe_every_stage_and_every_array_in_order() {
    let mut inspector = Inspector::try_new(Fake::new(), method()).unwrap();
    let (mut notes, data) = (Notes::default(), picture());
    inspector.inspect(pixels(&data), ROI, &mut notes).unwrap();
    let stages: Vec<Stage> = Stage::ALL.into_iter().filter(|stage| !stage.is_joined()).collect();
    assert_eq!(notes.stages, stages);
    let names: Vec<String> = notes.arrays.iter().map(|(name, ..)| name.to_string()).collect();
    let want = "input moments latent noised noise_first noise_last final_latent reconstruction \
                distance_1 distance_2 map_raw map";
    assert_eq!(names.join(" "), want);
}

#[test]
fn inspect_of_the_same_pixels_gives_the_same_score_whatever_came_between() {
    let mut inspector = Inspector::try_new(Fake::new(), method()).unwrap();
    let (data, other) = (picture(), vec![200; 60 * 48 * 3]);
    let mut run = |data: &[u8], roi| {
        let inspection = inspector.inspect(pixels(data), roi, &mut ()).unwrap();
        (inspection.score, inspection.map.clone())
    };
    let first = run(&data, ROI);
    run(&other, Roi { x: 0, y: 0, width: 60, height: 48 });
    assert_eq!(run(&data, ROI), first);
}

#[test]
fn inspect_never_scores_a_number_that_is_not_finite() {
    let data = picture();
    for stage in [Stage::Encode, Stage::Hint, Stage::Denoise, Stage::Decode, Stage::Features] {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let fake = Fake { poison: Some((stage, value)), ..Fake::new() };
            let mut inspector = Inspector::try_new(fake, method()).unwrap();
            let error = inspector.inspect(pixels(&data), ROI, &mut ()).map(|i| i.score).unwrap_err();
            assert!(
                matches!(&error, InspectError::Value { stage: at, source: TensorError::NonFinite { .. } } if *at == stage),
                "{stage} {value}: {error:?}"
            );
        }
    }
}

#[test]
fn inspect_never_scores_a_number_that_overflows_on_the_way() {
    let data = picture();
    let fake = Fake { poison: Some((Stage::Denoise, f32::MAX)), ..Fake::new() };
    let mut inspector = Inspector::try_new(fake, method()).unwrap();
    let error = inspector.inspect(pixels(&data), ROI, &mut ()).map(|i| i.score).unwrap_err();
    assert!(matches!(error, InspectError::Value { stage: Stage::Denoise | Stage::Decode, .. }), "{error:?}");
}

#[test]
fn inspect_hands_on_what_the_runtime_says() {
    let data = picture();
    for stage in [Stage::Encode, Stage::Hint, Stage::Denoise, Stage::Decode, Stage::Features] {
        let mut inspector = Inspector::try_new(Fake { broken: Some(stage), ..Fake::new() }, method()).unwrap();
        let error = inspector.inspect(pixels(&data), ROI, &mut ()).map(|i| i.score).unwrap_err();
        assert!(
            matches!(&error, InspectError::Graph { stage: at, source } if *at == stage && *source == Broken(stage)),
            "{error:?}"
        );
    }
}

#[test]
fn inspect_refuses_a_region_outside_the_frame_and_goes_on_with_the_next_part() {
    let mut inspector = Inspector::try_new(Fake::new(), method()).unwrap();
    let data = picture();
    let outside = Roi { x: 20, ..ROI };
    let refused = inspector.inspect(pixels(&data), outside, &mut ()).map(|i| i.score);
    assert!(matches!(refused, Err(InspectError::Prepare(_))), "{refused:?}");
    assert!(inspector.inspect(pixels(&data), ROI, &mut ()).is_ok());
}

#[test]
fn inspect_allocates_nothing_after_the_first_part() {
    let mut inspector = Inspector::try_new(Fake::new(), method()).unwrap();
    let data = picture();
    let mask = Mask::new(Some(ROI), vec![Roi { x: 9, y: 9, width: 9, height: 9 }]);
    let mut scores = [Score::try_new(0.0).unwrap(); 2];
    for (part, score) in scores.iter_mut().enumerate() {
        let info = allocation_counter::measure(|| {
            *score = inspector.inspect_under(&mask, pixels(&data), ROI, &mut ()).unwrap().score;
        });
        // The first part sizes the tables for its picture, which also shows that allocations are seen.
        assert_eq!(part == 0, info.count_total > 0, "{info:?}");
    }
    assert_eq!(scores[0], scores[1]);
}

#[test]
fn try_new_refuses_networks_and_method_that_do_not_fit() {
    type Change = fn(&mut Fake, &mut Method);
    let cases: [(&str, Change); 11] = [
        ("image", |fake, _| fake.shapes.image = [1, 3, SIDE, SIDE + 1]),
        ("latent batch", |fake, _| fake.shapes.latent = [2, 3, SIDE, SIDE]),
        ("empty hint", |fake, _| fake.shapes.hint = [1, 0, SIDE, SIDE]),
        ("features batch", |fake, _| fake.shapes.features[1] = [1, 3, 4, 4]),
        ("features count", |fake, _| fake.shapes.features.truncate(1)),
        ("start noise", |_, method| method.start_noise = Tensor::zeros([1, 3, 2, 2])),
        ("noise value", |_, method| method.start_noise.data_mut()[5] = f32::NAN),
        ("posterior noise", |_, method| method.posterior = Posterior::Sample(Tensor::zeros([1, 1, 1, 1]))),
        ("scale", |_, method| method.latent_scale = 0.0),
        ("scale value", |_, method| method.latent_scale = f32::NAN),
        ("score", |_, method| method.score = ScoreRule::try_new(8, 8).unwrap()),
    ];
    for (what, change) in cases {
        let (mut fake, mut method) = (Fake::new(), method());
        change(&mut fake, &mut method);
        assert!(Inspector::try_new(fake, method).is_err(), "{what}");
    }
}

/// Networks that play back the golden run, after checking that they are asked what the reference's were.
struct Playback {
    shapes: GraphShapes,
    moments: Tensor,
    inputs: Tensor,
    predicted: Tensor,
    decoded: Tensor,
    index: usize,
}

impl Graphs for Playback {
    type Error = Broken;

    fn shapes(&self) -> &GraphShapes {
        &self.shapes
    }

    fn encode(&mut self, _: &Tensor, moments: &mut Tensor) -> Result<(), Broken> {
        moments.data_mut().copy_from_slice(self.moments.data());
        Ok(())
    }

    fn hint(&mut self, _: &Tensor, _: &mut Tensor) -> Result<(), Broken> {
        Ok(())
    }

    fn predict_noise(&mut self, latent: &Tensor, _: &Tensor, t: Step, noise: &mut Tensor) -> Result<(), Broken> {
        assert_eq!(usize::from(t.get()), 901 - 100 * self.index);
        let size = latent.data().len();
        let range = self.index * size..(self.index + 1) * size;
        // Rounding of the steps so far, of values up to 36; the golden gate is 1e-4.
        Near::abs(3e-5).check("latent", latent.data(), &self.inputs.data()[range.clone()]);
        noise.data_mut().copy_from_slice(&self.predicted.data()[range]);
        self.index += 1;
        Ok(())
    }

    fn decode(&mut self, _: &Tensor, reconstruction: &mut Tensor) -> Result<(), Broken> {
        reconstruction.data_mut().copy_from_slice(self.decoded.data());
        Ok(())
    }

    fn features(&mut self, pair: &Tensor, layers: &mut [Tensor]) -> Result<(), Broken> {
        layers[0].data_mut().copy_from_slice(pair.data());
        Ok(())
    }
}

#[test]
fn inspect_walks_the_golden_run() {
    let Some(mut golden) = Golden::open("tiny32_128_B.npz") else { return };
    let image: Vec<u8> = golden.values("image_u8");
    let latent: Shape = [1, 4, 16, 16];
    let features = vec![[2, 3, 128, 128]];
    let graphs = Playback {
        shapes: GraphShapes { image: [1, 3, 128, 128], latent, hint: [1, 1, 1, 1], features },
        moments: golden.tensor("moments"),
        inputs: golden.tensor("step_x"),
        predicted: golden.tensor("step_eps"),
        decoded: golden.tensor("samples"),
        index: 0,
    };
    let method = Method {
        input: InputSpec::try_new(128, 128, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]).unwrap(),
        latent_scale: 0.18215,
        posterior: Posterior::Sample(golden.tensor("noise_posterior")),
        ddim: ddim(999, &Ddim::reference_steps(10).unwrap()),
        start_noise: golden.tensor("noise_q"),
        map: MapSettings::try_new(vec![1.0], 5.0, 4.0).unwrap(),
        score: ScoreRule::try_new(8, 8).unwrap(),
        representation: None,
    };
    let mut inspector = Inspector::try_new(graphs, method).unwrap();
    let pixels = PixelsView::try_new(128, 128, PixelFormat::Rgb8, &image).unwrap();
    let mut notes = Notes::default();
    inspector.inspect(pixels, pixels.full(), &mut notes).unwrap();
    let array = |name| &notes.arrays.iter().find(|(given, ..)| *given == name).unwrap().2;
    // exp and two products in f32, of values around 1.
    Near::abs(1e-6).check("latent", array(ArrayName::Latent), golden.tensor("z_scaled").data());
    let outputs = golden.tensor("step_x_prev");
    // The golden gate for the final latent is 1e-4.
    Near::abs(5e-5).check("final", array(ArrayName::FinalLatent), &outputs.data()[9 * 4 * 16 * 16..]);
    let mut mean = Tensor::zeros(latent);
    draw(&golden.tensor("moments"), &Posterior::Mean, 0.18215, &mut mean);
    Near::abs(1e-7).check("mean", mean.data(), golden.tensor("z_mode_scaled").data());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn inspect_of_any_frame_gives_a_score_and_a_region_inside_the_region_of_interest(
        data in prop::collection::vec(any::<u8>(), 60 * 48 * 3),
        x in 0_u32..30, y in 0_u32..30, width in 1_u32..30, height in 1_u32..18,
    ) {
        let mut inspector = Inspector::try_new(Fake::new(), method()).unwrap();
        let roi = Roi { x, y, width, height };
        let region = inspector.inspect(pixels(&data), roi, &mut ()).unwrap().region;
        prop_assert!(region.x >= x && region.x + region.width <= x + width);
        prop_assert!(region.y >= y && region.y + region.height <= y + height);
    }
}

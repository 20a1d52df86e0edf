//! Parts that several witnesses judge.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::bank::Bank;
use crate::foundation::{Foundation, FoundationError};
use crate::graphs::{LatentCall, LatentShapes};
use crate::join::{Share, Witness, WitnessKind};

/// Side of the grid of patches.
const GRID: usize = 4;
/// Side of the foundation's input, in pixels: another one than the model's.
const INPUT: usize = 16;

/// Describes each cell of a picture by its brightness, as an angle. Counts how often it is asked.
#[derive(Debug)]
struct Cells {
    input: InputSpec,
    asked: AtomicUsize,
    answer: Answer,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    Right,
    Nan,
    Broken,
}

impl Cells {
    fn new(answer: Answer) -> Arc<Self> {
        let input = InputSpec::try_new(INPUT as u32, INPUT as u32, [0.0; 3], [1.0; 3]).unwrap();
        Arc::new(Self { input, asked: AtomicUsize::new(0), answer })
    }
}

impl Foundation for Cells {
    fn name(&self) -> &str {
        "cells"
    }

    fn input(&self) -> &InputSpec {
        &self.input
    }

    fn shape(&self) -> Shape {
        [1, 2, GRID, GRID]
    }

    fn patches(&self, image: &Tensor, out: &mut Tensor) -> Result<(), FoundationError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let cell = INPUT / GRID;
        for place in 0..GRID * GRID {
            let (top, left) = (place / GRID * cell, place % GRID * cell);
            let row = |y: usize| &image.data()[(top + y) * INPUT + left..][..cell];
            let mean = (0..cell).flat_map(row).sum::<f32>() / (cell * cell) as f32;
            let (sin, cos) = mean.sin_cos();
            out.data_mut()[place] = cos;
            out.data_mut()[GRID * GRID + place] = sin;
        }
        match self.answer {
            Answer::Right => {}
            Answer::Nan => out.data_mut()[3] = f32::NAN,
            Answer::Broken => return Err(FoundationError { name: "cells".to_owned(), source: "broken".into() }),
        }
        Ok(())
    }
}

/// A picture of one brightness, but for a spot in the frame.
fn even(spot: Option<Roi>) -> Vec<u8> {
    let lit =
        |x: u32, y: u32| spot.is_some_and(|s| (s.x..s.x + s.width).contains(&x) && (s.y..s.y + s.height).contains(&y));
    (0..48).flat_map(|y| (0..60).flat_map(move |x| [if lit(x, y) { 250 } else { 100 }; 3])).collect()
}

/// A spot over one cell of the grid: the region of interest is 48 px wide and starts at 6.
const SPOT: Roi = Roi { x: 6 + 24, y: 12, width: 12, height: 12 };

fn share(weight: f64, sd: f64) -> Share {
    Share::try_new(weight, 0.0, sd).unwrap()
}

fn diad(weight: f64) -> Witness {
    Witness::new(WitnessKind::Diad, share(weight, 0.01))
}

/// A bank that has learnt the even picture.
fn bank(foundation: &Arc<Cells>, weight: f64) -> Witness {
    let mean = 100.0_f32 / 255.0;
    let bank = Arc::new(Bank::try_new(vec![mean.cos(), mean.sin()], 2).unwrap());
    let foundation: Arc<dyn Foundation> = foundation.clone();
    Witness::new(WitnessKind::Bank { foundation, bank }, share(weight, 0.01))
}

fn latent(foundation: &Arc<Cells>, weight: f64) -> Witness {
    let foundation: Arc<dyn Foundation> = foundation.clone();
    Witness::new(WitnessKind::Latent { foundation }, share(weight, 0.01))
}

fn joined(witnesses: Vec<Witness>) -> Joined {
    Joined::try_new(witnesses).unwrap()
}

fn subject(joined: &Joined) -> Subject<'_> {
    Subject { mask: Mask::EVERYTHING, joined: Some(joined) }
}

/// The fake networks, and some for the latent that know the truth: latent = patches, the noise is the one that was added.
/// At `stain`, a place of the grid, the part would look another way if it were good.
struct LatentFake {
    fake: Fake,
    stain: Option<usize>,
}

const LATENT: LatentShapes = LatentShapes { latent: [1, 2, GRID, GRID], hint: [1, 3, GRID, GRID] };

fn latent_noise() -> Tensor {
    let values = (0..2 * GRID * GRID).map(|i| ((i * 31) % 17) as f32 / 8.0 - 1.0).collect();
    Tensor::from_vec(LATENT.latent, values).unwrap()
}

impl Graphs for LatentFake {
    type Error = Broken;

    fn shapes(&self) -> &GraphShapes {
        self.fake.shapes()
    }

    fn encode(&mut self, image: &Tensor, moments: &mut Tensor) -> Result<(), Broken> {
        self.fake.encode(image, moments)
    }

    fn hint(&mut self, image: &Tensor, hint: &mut Tensor) -> Result<(), Broken> {
        self.fake.hint(image, hint)
    }

    fn predict_noise(&mut self, latent: &Tensor, hint: &Tensor, t: Step, noise: &mut Tensor) -> Result<(), Broken> {
        self.fake.predict_noise(latent, hint, t, noise)
    }

    fn decode(&mut self, latent: &Tensor, reconstruction: &mut Tensor) -> Result<(), Broken> {
        self.fake.decode(latent, reconstruction)
    }

    fn features(&mut self, pair: &Tensor, layers: &mut [Tensor]) -> Result<(), Broken> {
        self.fake.features(pair, layers)
    }

    fn latent_shapes(&self) -> Option<LatentShapes> {
        Some(LATENT)
    }

    fn run_latent(&mut self, call: LatentCall<'_>) -> Option<Result<(), Broken>> {
        match call {
            LatentCall::Encode { patches, out } => out.data_mut().copy_from_slice(patches.data()),
            LatentCall::Hint { out, .. } => out.data_mut().fill(0.5),
            LatentCall::PredictNoise { out, .. } => {
                out.data_mut().copy_from_slice(latent_noise().data());
                if let Some(place) = self.stain {
                    out.data_mut()[place] += 1.0;
                }
            }
        }
        Some(self.fake.finish(Stage::Latent, &mut Tensor::zeros([1, 1, 1, 1])))
    }
}

fn latent_method() -> Method {
    let representation = Representation {
        groups: vec![2],
        ddim: ddim(301, &[Step::try_new(301).unwrap()]),
        start_noise: latent_noise(),
    };
    Method { representation: Some(representation), ..method() }
}

fn latent_inspector(stain: Option<usize>) -> Inspector<LatentFake> {
    Inspector::try_new(LatentFake { fake: Fake::new(), stain }, latent_method()).unwrap()
}

#[test]
fn diad_alone_on_a_scale_of_one_gives_the_plain_map() {
    let mut inspector = Inspector::try_new(Fake { stain: Some(7 * SIDE + 15), ..Fake::new() }, method()).unwrap();
    let data = picture();
    let plain = inspector.inspect(pixels(&data), ROI, &mut ()).unwrap();
    let (map, raw, peak) = (plain.map.clone(), plain.raw_map.clone(), plain.peak);
    assert!(plain.witnesses.is_empty());
    // A standard deviation of 0.01 is the unit itself.
    let alone = joined(vec![diad(1.0)]);
    let again = inspector.inspect_as(&subject(&alone), pixels(&data), ROI, &mut ()).unwrap();
    // One more rounding to f32 of values around 1.
    Near::abs(1e-6).check("map", again.map.values(), map.values());
    Near::abs(1e-6).check("raw", again.raw_map.values(), raw.values());
    assert_eq!((again.peak.x, again.peak.y), (peak.x, peak.y));
    assert_eq!(again.witnesses[0].raw(), &raw);
    assert_eq!(again.witnesses[0].score(), again.score);
}

#[test]
fn bank_finds_what_the_diffusion_model_rebuilds_and_the_record_says_who_objected() {
    let cells = Cells::new(Answer::Right);
    let both = joined(vec![diad(0.5), bank(&cells, 0.5)]);
    let mut inspector = Inspector::try_new(Fake::new(), method()).unwrap();
    let mut run = |data: &[u8]| {
        let inspection = inspector.inspect_as(&subject(&both), pixels(data), ROI, &mut ()).unwrap();
        let scores: Vec<(String, f32)> =
            inspection.witnesses.iter().map(|w| (w.name().to_string(), w.score().get())).collect();
        (inspection.score.get(), inspection.region, scores)
    };
    let (good, _, scores) = run(&even(None));
    assert_eq!((&*scores[0].0, &*scores[1].0), ("diad", "bank:cells"));
    let (bad, region, found) = run(&even(Some(SPOT)));
    assert!(bad > good + 0.1, "{good} {bad}");
    assert!(found[1].1 > 2.0 * bad - 0.1 && found[0].1 < 0.05, "{found:?}");
    let (x, y) = (SPOT.x + 6, SPOT.y + 6);
    assert!((region.x..region.x + region.width).contains(&x), "{region:?}");
    assert!((region.y..region.y + region.height).contains(&y), "{region:?}");
}

#[test]
fn witness_of_weight_0_judges_nothing_and_is_on_record() {
    let cells = Cells::new(Answer::Right);
    let mut inspector = Inspector::try_new(Fake { stain: Some(7 * SIDE + 15), ..Fake::new() }, method()).unwrap();
    let mute = joined(vec![diad(0.0), bank(&cells, 1.0)]);
    let data = even(None);
    let inspection = inspector.inspect_as(&subject(&mute), pixels(&data), ROI, &mut ()).unwrap();
    assert!(inspection.score.get() < 0.01, "{}", inspection.score);
    assert!(inspection.witnesses[0].score().get() > 0.1);
}

#[test]
fn latent_finds_the_place_that_would_look_another_way_if_it_were_good() {
    let cells = Cells::new(Answer::Right);
    let only = joined(vec![latent(&cells, 1.0)]);
    let data = even(None);
    let good = latent_inspector(None).inspect_as(&subject(&only), pixels(&data), ROI, &mut ()).unwrap().score;
    let mut inspector = latent_inspector(Some(GRID + 2));
    let inspection = inspector.inspect_as(&subject(&only), pixels(&data), ROI, &mut ()).unwrap();
    assert!(inspection.score.get() > good.get() + 0.01, "{good} {}", inspection.score);
    // Cell (2, 1) of a grid of four.
    let (x, y) = (inspection.peak.x as usize * GRID / SIDE, inspection.peak.y as usize * GRID / SIDE);
    assert_eq!((x, y), (2, 1));
}

#[test]
fn foundation_is_asked_once_a_part_and_every_stage_is_entered_once() {
    let cells = Cells::new(Answer::Right);
    let all = joined(vec![diad(0.5), latent(&cells, 0.25), bank(&cells, 0.25)]);
    let mut inspector = latent_inspector(None);
    let (data, mut notes) = (even(None), Notes::default());
    inspector.inspect_as(&subject(&all), pixels(&data), ROI, &mut notes).unwrap();
    assert_eq!(notes.stages, Stage::ALL);
    assert_eq!(cells.asked.load(Ordering::Relaxed), 1);
    let names: Vec<String> = notes.arrays.iter().skip(10).map(|(name, ..)| name.to_string()).collect();
    assert_eq!(names.join(" "), "patches_1 latent_clean latent_final witness_1 witness_2 witness_3 map_raw map");
    inspector.inspect_as(&subject(&all), pixels(&data), ROI, &mut ()).unwrap();
    assert_eq!(cells.asked.load(Ordering::Relaxed), 2);
}

#[test]
fn product_without_an_overlay_is_judged_alike_whatever_came_between() {
    let cells = Cells::new(Answer::Right);
    let (all, two) =
        (joined(vec![diad(0.5), latent(&cells, 0.25), bank(&cells, 0.25)]), joined(vec![bank(&cells, 1.0)]));
    let mut inspector = latent_inspector(None);
    let data = picture();
    let mut run = |joined: Option<&Joined>| {
        let subject = Subject { mask: Mask::EVERYTHING, joined };
        let inspection = inspector.inspect_as(&subject, pixels(&data), ROI, &mut ()).unwrap();
        (inspection.map.clone(), inspection.score, inspection.witnesses.len())
    };
    let (plain, first, second) = (run(None), run(Some(&all)), run(Some(&two)));
    assert_eq!((plain.2, first.2, second.2), (0, 3, 1));
    assert_eq!(run(None), plain);
    assert_eq!(run(Some(&all)), first);
    assert_eq!(run(Some(&two)), second);
}

#[test]
fn mask_holds_for_the_joined_map_and_for_each_witness() {
    let cells = Cells::new(Answer::Right);
    let only = joined(vec![bank(&cells, 1.0)]);
    let mut inspector = Inspector::try_new(Fake::new(), method()).unwrap();
    let data = even(Some(SPOT));
    let around = Roi { x: SPOT.x - 12, y: 0, width: 36, height: 36 };
    let mask = Mask::new(None, vec![around]);
    let subject = Subject { mask: &mask, joined: Some(&only) };
    let inspection = inspector.inspect_as(&subject, pixels(&data), ROI, &mut ()).unwrap();
    assert!(inspection.score.get() < 0.05, "{}", inspection.score);
    assert_eq!(inspection.witnesses[0].score(), inspection.score);
}

#[test]
fn witness_that_cannot_judge_gives_no_score_and_the_next_part_is_judged() {
    let data = even(None);
    let mut inspector = Inspector::try_new(Fake::new(), method()).unwrap();
    let mut refused = |witness: Witness| {
        let witnesses = joined(vec![diad(0.5), witness]);
        let refused = inspector.inspect_as(&subject(&witnesses), pixels(&data), ROI, &mut ()).map(|i| i.score);
        assert!(inspector.inspect(pixels(&data), ROI, &mut ()).is_ok());
        refused.unwrap_err()
    };
    let error = refused(latent(&Cells::new(Answer::Right), 0.5));
    assert!(matches!(error, InspectError::NoRepresentation), "{error:?}");
    let error = refused(bank(&Cells::new(Answer::Broken), 0.5));
    assert!(matches!(error, InspectError::Foundation(_)), "{error:?}");
    let error = refused(bank(&Cells::new(Answer::Nan), 0.5));
    assert!(matches!(error, InspectError::Value { stage: Stage::Foundation, .. }), "{error:?}");

    let broken = Fake { broken: Some(Stage::Latent), ..Fake::new() };
    let mut inspector = Inspector::try_new(LatentFake { fake: broken, stain: None }, latent_method()).unwrap();
    let only = joined(vec![latent(&Cells::new(Answer::Right), 1.0)]);
    let error = inspector.inspect_as(&subject(&only), pixels(&data), ROI, &mut ()).map(|i| i.score).unwrap_err();
    assert!(matches!(error, InspectError::Graph { stage: Stage::Latent, .. }), "{error:?}");
}

#[test]
fn try_new_refuses_a_representation_that_does_not_fit() {
    type Change = fn(&mut Representation);
    let cases: [(&str, Change); 4] = [
        ("groups", |it| it.groups = vec![1]),
        ("empty group", |it| it.groups = vec![2, 0]),
        ("start noise", |it| it.start_noise = Tensor::zeros([1, 2, 3, 3])),
        ("noise value", |it| it.start_noise.data_mut()[1] = f32::INFINITY),
    ];
    for (what, change) in cases {
        let mut method = latent_method();
        change(method.representation.as_mut().unwrap());
        assert!(Inspector::try_new(LatentFake { fake: Fake::new(), stain: None }, method).is_err(), "{what}");
    }
    let without = Inspector::try_new(LatentFake { fake: Fake::new(), stain: None }, method());
    assert!(matches!(without, Err(MethodError::Representation)));
    assert!(matches!(Inspector::try_new(Fake::new(), latent_method()), Err(MethodError::Representation)));
}

#[test]
fn joined_parts_allocate_nothing_after_the_first_but_what_the_product_of_matrices_packs() {
    let cells = Cells::new(Answer::Right);
    let all = joined(vec![diad(0.75), bank(&cells, 0.25)]);
    let mut inspector = Inspector::try_new(Fake::new(), method()).unwrap();
    let data = even(Some(SPOT));
    let mut scores = [Score::ZERO; 2];
    for (part, score) in scores.iter_mut().enumerate() {
        let info = allocation_counter::measure(|| {
            *score = inspector.inspect_as(&subject(&all), pixels(&data), ROI, &mut ()).unwrap().score;
        });
        // One block of rows is one product, for which the library packs once.
        assert_eq!(part == 0, info.count_total > 1, "{info:?}");
    }
    assert_eq!(scores[0], scores[1]);
}

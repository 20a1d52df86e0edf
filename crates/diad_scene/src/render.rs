//! From a specification to a picture with its truth.

use image::{GrayImage, RgbImage};

use crate::Defect;
use crate::camera::Camera;
use crate::dice::{Dice, derive};
use crate::flaw::{self, Blow};
use crate::geometry::v2;
use crate::light::Light;
use crate::mask::{self, Difference};
use crate::part::{IMAGE_SIDE_PX, PartSpec, RenderedPart};
use crate::product::{Alteration, Design, Edge};
use crate::surface::{Pose, Surface, Warp};

const CONDITIONS: u64 = 1;
const PAINT: u64 = 2;
const FLAW: u64 = 3;
const SIZE: u64 = 4;

/// Pixels of the picture.
const AREA_PX: f32 = 65_536.0;
/// Aimed area of a defect, as a share of the picture; drawn log-uniformly.
const AIM: (f32, f32) = (0.002, 0.03);
/// A defect is refused and drawn again unless its mask lies in these bounds …
const ACCEPTED_PX: std::ops::RangeInclusive<usize> = 98..=4_600;
/// … and the picture inside it changes by at least this much on average.
const ACCEPTED_LEVELS: f32 = 14.0;
const ATTEMPTS: u64 = 24;

/// Everything about a picture which is not the part itself.
#[derive(Debug, Clone, Copy)]
struct Conditions {
    pose: Pose,
    light: Light,
    camera: Camera,
}

impl Conditions {
    fn draw(design: &Design, seed: u64) -> Self {
        let mut dice = Dice::new(derive(seed, CONDITIONS));
        let centre = v2(128.0 + dice.range(-6.0, 6.0), 128.0 + dice.range(-6.0, 6.0));
        let turn = dice.range(-design.max_turn, design.max_turn);
        let pose = Pose { centre, turn, scale: 1.0 + dice.range(-0.02, 0.02) };
        Self { pose, light: Light::draw(&mut dice), camera: Camera::draw(&mut dice) }
    }

    fn develop(&self, surface: &Surface) -> RgbImage {
        self.camera.develop(&self.light.shade(surface))
    }
}

/// Renders a part: [`IMAGE_SIDE_PX`] square picture and mask. Pure, and equal for equal specifications.
///
/// A defective part is drawn again, stronger each time and always in the same order, until its mask covers 0.15 % to
/// 7 % of the picture and the mean absolute difference inside the mask to [`render_sound`] of the same specification
/// is at least 14 grey levels; if no draw gets there, the clearest one is taken.
///
/// Cost: 7 to 11 ms for a good part and two to three times that for a defective one (release, one core of a server
/// from 2023).
#[must_use]
pub fn render(spec: &PartSpec) -> RenderedPart {
    let design = spec.product.design();
    let conditions = Conditions::draw(&design, spec.seed);
    let surface = painted(&design, &conditions, spec.seed, &Alteration::None, None);
    let sound = conditions.develop(&surface);
    let Some(defect) = spec.defect else {
        return RenderedPart { image: sound, mask: GrayImage::new(IMAGE_SIDE_PX, IMAGE_SIDE_PX) };
    };
    let mut best: Option<(f32, RgbImage, Difference)> = None;
    for attempt in 0..ATTEMPTS {
        let image = conditions.develop(&defective(&design, &conditions, spec.seed, defect, attempt, &surface));
        let seen = mask::difference(&image, &sound);
        let merit = merit(&seen);
        if best.as_ref().is_none_or(|(m, _, _)| merit > *m) {
            best = Some((merit, image, seen));
        }
        if merit >= 1.0 {
            break;
        }
    }
    match best {
        Some((_, image, seen)) => RenderedPart { image, mask: mask::picture(&seen.mask) },
        None => RenderedPart { image: sound, mask: GrayImage::new(IMAGE_SIDE_PX, IMAGE_SIDE_PX) },
    }
}

/// Renders the same part, pose, light and noise as [`render`], but without its defect.
#[must_use]
pub fn render_sound(spec: &PartSpec) -> RgbImage {
    render(&PartSpec { defect: None, ..*spec }).image
}

/// 1 for an acceptable defect; less, the farther it is from that.
#[expect(clippy::cast_precision_loss, reason = "areas are below 2^16")]
fn merit(seen: &Difference) -> f32 {
    let contrast = (seen.mean_levels / ACCEPTED_LEVELS).min(1.0);
    let area = seen.area_px as f32;
    let (low, high) = (*ACCEPTED_PX.start() as f32, *ACCEPTED_PX.end() as f32);
    contrast * (area / low).min(1.0) * (high / area.max(1.0)).min(1.0)
}

fn painted(
    design: &Design,
    conditions: &Conditions,
    seed: u64,
    alteration: &Alteration,
    warp: Option<Warp>,
) -> Surface {
    let mut dice = Dice::new(derive(seed, PAINT));
    let mut surface = Surface::new(conditions.pose, warp, design.backdrop(&mut dice));
    (design.paint)(&mut surface, &mut dice, alteration);
    surface
}

fn defective(
    design: &Design,
    conditions: &Conditions,
    seed: u64,
    defect: Defect,
    attempt: u64,
    sound: &Surface,
) -> Surface {
    let mut dice = Dice::new(derive(derive(seed, FLAW), attempt));
    // The size stays over the first draws, so that small defects are not traded for large ones at once.
    let mut size = Dice::new(derive(derive(seed, SIZE), attempt / 8));
    #[expect(clippy::cast_precision_loss, reason = "attempts are few")]
    let strength = 1.0 + 0.1 * attempt as f32;
    let blow = Blow { area_px: size.log_range(AIM.0 * AREA_PX, AIM.1 * AREA_PX), strength };
    let rebuilt = |alteration, warp| painted(design, conditions, seed, &alteration, warp);
    match defect {
        Defect::MissingFeature => {
            rebuilt(Alteration::Missing { feature: dice.below(design.features), area_px: blow.area_px }, None)
        }
        Defect::Misplacement => rebuilt(moved(design, &mut dice, &blow), None),
        Defect::Deformation => rebuilt(Alteration::None, Some(warp(design, &mut dice, &blow))),
        Defect::Scratch | Defect::Dent | Defect::Stain | Defect::ForeignBody => {
            let mut surface = sound.clone();
            match defect {
                Defect::Scratch => flaw::scratch(&mut surface, &mut dice, &blow),
                Defect::Dent => flaw::dent(&mut surface, &mut dice, &blow),
                Defect::Stain => flaw::stain(&mut surface, &mut dice, &blow),
                _ => flaw::foreign_body(&mut surface, &mut dice, &blow),
            }
            surface
        }
    }
}

fn moved(design: &Design, dice: &mut Dice, blow: &Blow) -> Alteration {
    let feature = dice.below(design.movable);
    let by = dice.direction() * (dice.range(design.shift_px.0, design.shift_px.1) * blow.strength.sqrt());
    let turn = dice.sign() * design.shift_turn * dice.range(0.3, 1.0);
    Alteration::Moved { feature, by, turn, area_px: blow.area_px }
}

fn warp(design: &Design, dice: &mut Dice, blow: &Blow) -> Warp {
    let Edge { at, push, reach_px } = (design.edge)(dice);
    let radius = (blow.area_px.sqrt() * 1.1).clamp(12.0, 34.0).min(reach_px);
    let along = push.unit() + push.unit().across() * dice.range(-0.5, 0.5);
    Warp { centre: at, radius, push: along.unit() * (radius * (0.34 * blow.strength).min(0.52)) }
}

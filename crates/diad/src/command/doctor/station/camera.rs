//! Each camera: opened as the station would, and one picture taken.

use std::time::{Duration, Instant};

use diad_capture::{CaptureError, Picture, Quality, Take};
use diad_core::frame::{FrameError, Roi};

use super::super::Check;
use super::super::bounded::within;
use super::{Station, who};
use crate::chain::chain;
use crate::exit::Exit;
use crate::line::CameraSpec;
use crate::settings::{self, Source, Trigger};
use crate::timing::ms;

/// Longest wait for one camera.
const CAMERA_TRIAL_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for its picture.
const FRAME_TIMEOUT: Duration = Duration::from_secs(5);
/// For so long a live camera may set its exposure; the last picture of that time counts.
const EXPOSURE_SETTLE_TIME: Duration = Duration::from_millis(500);
/// Before every picture.
const LAST_USE_LIMIT: Duration = Duration::from_secs(3600);

/// Grey values, of 255, outside of which a picture is too dark or too bright.
const DARK: f64 = 15.0;
const BRIGHT: f64 = 240.0;
/// Share of pixels that may be clipped.
const CLIPPED: f64 = 0.10;
/// Variance of the Laplacian below which a picture has no edge. Far below that of a blurred part: how sharp is sharp enough,
/// only a comparison with earlier pictures tells.
const NO_EDGE: f64 = 1.0;

/// What a camera gave.
struct Taken {
    described: String,
    after: Duration,
    picture: Picture,
    quality: Result<Quality, FrameError>,
}

/// How it went.
enum Outcome {
    Picture(Taken),
    /// It opened and gave none.
    Idle(String),
    Refused(CaptureError),
}

/// A row for every camera, and a picture of the first that gave one.
pub(super) fn checks(station: &Station<'_>) -> (Vec<Check>, Option<(Picture, Option<Roi>)>) {
    let mut first = None;
    let mut checks = Vec::new();
    for camera in station.settings.cameras() {
        let name = format!("camera {}", camera.id);
        checks.push(match (station.running, &camera.source) {
            (Some(pid), Source::V4l2 { device, .. }) => Check::skipped(
                name,
                format!("{} is in use by {}", device.display(), who(pid)),
                "see its last picture on the page, or stop the station and ask again",
            ),
            _ => {
                let (check, picture) = examine(&name, camera);
                first = first.or_else(|| picture.map(|picture| (picture, camera.roi)));
                check
            }
        });
    }
    (checks, first)
}

fn examine(name: &str, camera: &settings::Camera) -> (Check, Option<Picture>) {
    let (mut spec, roi, trigger) = (CameraSpec::from_settings(camera), camera.roi, camera.trigger);
    match within(CAMERA_TRIAL_TIMEOUT, move || take(&mut spec, roi)) {
        Err(unfinished) => {
            let remedy = "see whether the device, or the disk of the folder, answers; plug the camera in again";
            (unfinished.check(name, Exit::Unavailable, remedy), None)
        }
        Ok(Outcome::Refused(error)) => {
            let remedy = "see `diad cameras` for devices and formats; correct this camera's source in the settings";
            (Check::failed(name, Exit::Unavailable, chain(&error), remedy), None)
        }
        Ok(Outcome::Idle(described)) => (judge_idle(name, &described, trigger), None),
        Ok(Outcome::Picture(taken)) => (judge(name, &taken), Some(taken.picture)),
    }
}

fn take(spec: &mut CameraSpec, roi: Option<Roi>) -> Outcome {
    let mut camera = match spec.open_once() {
        Ok(camera) => camera,
        Err(error) => return Outcome::Refused(error),
    };
    let (described, began) = (camera.describe(), Instant::now());
    let past = began.checked_sub(LAST_USE_LIMIT).unwrap_or(began);
    let mut last = None;
    loop {
        let after = began.elapsed();
        match camera.next_frame(past, FRAME_TIMEOUT.saturating_sub(after)) {
            Ok(Take::Frame(capture)) => last = Some((capture.picture, began.elapsed())),
            Ok(Take::Idle | Take::Ended) => break,
            // An unusable first picture is no reason to give up a live camera, which sends another.
            Err(error @ CaptureError::Frozen { .. }) => return Outcome::Refused(error),
            Err(error) if error.is_fatal() || !camera.is_live() => return Outcome::Refused(error),
            Err(_) => {}
        }
        let settled = last.is_some() && (!camera.is_live() || began.elapsed() >= EXPOSURE_SETTLE_TIME);
        if settled || began.elapsed() >= FRAME_TIMEOUT {
            break;
        }
    }
    let Some((picture, after)) = last else { return Outcome::Idle(described) };
    let quality = picture.view().and_then(|view| Quality::of(view, roi.unwrap_or(view.full())));
    Outcome::Picture(Taken { described, after, picture, quality })
}

fn judge_idle(name: &str, described: &str, trigger: Trigger) -> Check {
    let detail = format!("{described}\nno picture within {} s", FRAME_TIMEOUT.as_secs());
    if trigger == Trigger::Camera {
        let remedy =
            "where a light barrier triggers it, let a part pass and ask again; else see to cable and trigger line";
        return Check::warning(name, detail, remedy);
    }
    Check::failed(name, Exit::Unavailable, detail, "see to cable, power, and whether it waits for a trigger line")
}

fn judge(name: &str, taken: &Taken) -> Check {
    let Taken { described, after, picture, quality } = taken;
    let head = format!("{described}\n{}x{} px after {:.0} ms", picture.width(), picture.height(), ms(*after));
    let quality = match quality {
        Ok(quality) => quality,
        Err(error) => {
            let remedy = "correct this camera's roi in the settings";
            return Check::failed(name, Exit::Settings, format!("{head}: {error}"), remedy);
        }
    };
    let Quality { brightness, clipped, black, sharpness } = *quality;
    let detail = format!(
        "{head}: brightness {brightness:.0} of 255, clipped {:.1} %, black {:.1} %, sharpness {sharpness:.1}",
        100.0 * clipped,
        100.0 * black
    );
    match remedy(quality) {
        Some(remedy) => Check::warning(name, detail, remedy),
        None => Check::fine(name, detail),
    }
}

/// What to do for a better picture; none if it will do.
fn remedy(quality: &Quality) -> Option<&'static str> {
    if quality.brightness < DARK {
        Some("too dark: see to light, exposure and lens cap")
    } else if quality.brightness > BRIGHT || quality.clipped > CLIPPED {
        Some("too bright: less light, a smaller aperture or a shorter exposure; defects in white areas cannot be seen")
    } else if quality.sharpness < NO_EDGE {
        Some("no edge in the picture: see to focus and lens, and whether a part is in view")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use diad_core::frame::PixelFormat;
    use diad_core::name::CameraId;

    use super::*;
    use crate::command::doctor::CheckStatus;

    fn quality(brightness: f64, clipped: f64, sharpness: f64) -> Quality {
        Quality { brightness, clipped, black: 0.0, sharpness }
    }

    #[test]
    fn pictures_are_warned_of_by_what_is_wrong_with_them() {
        assert_eq!(remedy(&quality(120.0, 0.0, 200.0)), None);
        for (quality, word) in [
            (quality(3.0, 0.0, 200.0), "dark"),
            (quality(250.0, 0.0, 200.0), "bright"),
            (quality(120.0, 0.3, 200.0), "bright"),
            (quality(120.0, 0.0, 0.1), "edge"),
        ] {
            assert!(remedy(&quality).is_some_and(|remedy| remedy.contains(word)), "{quality:?}");
        }
    }

    #[test]
    fn picture_is_told_with_its_measures_and_a_roi_that_does_not_fit_is_a_fault_of_the_settings() {
        let picture = || Picture::try_new(4, 4, PixelFormat::Mono8, vec![100; 16]).unwrap();
        let taken = |quality| Taken {
            described: "d".to_owned(),
            after: Duration::from_millis(12),
            picture: picture(),
            quality,
        };
        let check = judge("camera a", &taken(Ok(quality(100.0, 0.012, 55.0))));
        assert_eq!(check.health, CheckStatus::Fine);
        assert_eq!(
            check.detail,
            "d\n4x4 px after 12 ms: brightness 100 of 255, clipped 1.2 %, black 0.0 %, sharpness 55.0"
        );
        let roi = Roi { x: 2, y: 0, width: 4, height: 4 };
        let error = Quality::of(picture().view().unwrap(), roi).unwrap_err();
        assert_eq!(judge("camera a", &taken(Err(error))).failure(), Some(Exit::Settings));
    }

    #[test]
    fn camera_without_a_picture_fails_unless_parts_trigger_it() {
        assert_eq!(judge_idle("camera a", "d", Trigger::Mqtt).failure(), Some(Exit::Unavailable));
        assert_eq!(judge_idle("camera a", "d", Trigger::Camera).health, CheckStatus::Warning);
    }

    #[test]
    fn camera_whose_folder_is_gone_is_unavailable_and_the_folder_is_named() {
        let camera = settings::Camera {
            id: CameraId::try_new("a").unwrap(),
            source: Source::Replay { folder: "/nonexistent/pictures".into(), looped: true },
            trigger: Trigger::Camera,
            roi: None,
            frozen_after: None,
        };
        let (check, picture) = examine("camera a", &camera);
        assert_eq!(check.failure(), Some(Exit::Unavailable));
        assert!(check.detail.contains("/nonexistent/pictures") && picture.is_none(), "{}", check.detail);
    }
}

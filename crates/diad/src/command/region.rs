//! Which part of a picture from a folder to look at: what the camera that took it looks at on the line.

use std::path::PathBuf;

use diad_core::frame::{PixelsView, Roi};

use crate::cli::CameraArgs;
use crate::exit::Exit;
use crate::settings::{self, Camera, Variable};
use crate::yaml::{Fault, lines};

/// It is not known which part of the pictures to look at.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// The settings are wrong; every fault is a line.
    #[error("read the settings\n{}", lines(.0))]
    Settings(Vec<Fault>),
    /// There is no such camera.
    #[error("{} has no camera {camera}, only {}", file.display(), cameras.join(", "))]
    Unknown {
        /// The settings.
        file: PathBuf,
        /// Who was asked for.
        camera: String,
        /// Who there is.
        cameras: Vec<String>,
    },
    /// It could be one or the other.
    #[error("the cameras of {} look at different parts of the picture: say --camera with one of {}", file.display(), cameras.join(", "))]
    Ambiguous {
        /// The settings.
        file: PathBuf,
        /// Who there is.
        cameras: Vec<String>,
    },
}

impl RegionError {
    /// The exit code of this error, see docs/reference/exit-codes.md.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Settings(_) => Exit::Settings,
            Self::Unknown { .. } | Self::Ambiguous { .. } => Exit::Usage,
        }
    }
}

/// The part of every picture to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region(Option<Roi>);

impl Region {
    /// Whole pictures.
    pub const WHOLE: Self = Self(None);

    /// That of the camera that is meant; without settings, whole pictures.
    pub fn of(args: &CameraArgs, variables: &[Variable]) -> Result<Self, RegionError> {
        let Some(file) = &args.config else { return Ok(Self::WHOLE) };
        let settings = settings::load(file, variables).map_err(RegionError::Settings)?;
        let ids = |cameras: &[Camera]| cameras.iter().map(|camera| camera.id.to_string()).collect();
        let all = settings.cameras();
        if let Some(id) = &args.camera {
            let camera = all.iter().find(|camera| camera.id.as_str() == id);
            let unknown = || RegionError::Unknown { file: file.clone(), camera: id.clone(), cameras: ids(all) };
            return camera.map(|camera| Self(camera.roi)).ok_or_else(unknown);
        }
        let roi = all.first().and_then(|camera| camera.roi);
        if all.iter().any(|camera| camera.roi != roi) {
            return Err(RegionError::Ambiguous { file: file.clone(), cameras: ids(all) });
        }
        Ok(Self(roi))
    }

    /// The rectangle; none for whole pictures.
    pub const fn roi(self) -> Option<Roi> {
        self.0
    }

    /// Where to look in this picture.
    pub fn in_picture(self, pixels: &PixelsView<'_>) -> Roi {
        self.0.unwrap_or_else(|| pixels.full())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn region(cameras: &str, camera: Option<&str>) -> Result<Region, RegionError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("diad.yaml");
        fs::write(&file, format!("line: L1\nstation: S1\ncameras:\n{cameras}deadline_ms: 200\nthresholds: t.yaml\n"))
            .unwrap();
        Region::of(&CameraArgs { config: Some(file), camera: camera.map(str::to_owned) }, &[])
    }

    fn camera(id: &str, width: u32) -> String {
        format!(
            "  - {{ id: {id}, source: {{ kind: rendered }}, trigger: {{ kind: camera }}, \
             roi: {{ x: 1, y: 2, width: {width}, height: 4 }} }}\n"
        )
    }

    #[test]
    fn region_is_that_of_the_camera_that_is_meant() {
        let roi = |width| Region(Some(Roi { x: 1, y: 2, width, height: 4 }));
        let (one, two) = (camera("a", 3), camera("a", 3) + &camera("b", 5));
        assert_eq!(Region::of(&CameraArgs { config: None, camera: None }, &[]).unwrap(), Region::WHOLE);
        assert_eq!(region(&one, None).unwrap(), roi(3));
        assert_eq!(region(&two, Some("b")).unwrap(), roi(5));
        assert_eq!(region(&(camera("a", 3) + &camera("b", 3)), None).unwrap(), roi(3));
        let unsure = region(&two, None).unwrap_err();
        assert!(unsure.to_string().ends_with("say --camera with one of a, b"), "{unsure}");
        let unknown = region(&two, Some("c")).unwrap_err();
        assert!(unknown.to_string().ends_with("has no camera c, only a, b"), "{unknown}");
        assert_eq!((unsure.exit(), unknown.exit()), (Exit::Usage, Exit::Usage));
        let faulty = region("  - 3\n", None).unwrap_err();
        assert_eq!(faulty.exit(), Exit::Settings);
    }
}

//! What a run has worked out before it was interrupted: views of parts, so that the next run goes on where it ended.
//!
//! A file holds a view and its SHA-256. One that is damaged, or was made with other networks, is as good as none. Nothing
//! here is ever needed: a disk without room for it is left alone.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use diad_core::drift::Look;
use diad_core::frame::Roi;
use diad_core::prepare::Geometry;
use half::f16;
use rustix::fs::statvfs;
use sha2::{Digest as _, Sha256};

use super::view::View;
use crate::files::Draft;

/// Says what follows, and that it is of this layout.
const MAGIC: &[u8; 8] = b"diadvw1\n";
/// Free bytes that stay for others, such as the ledger.
const LEAVE_FREE: u64 = 1 << 30;
/// Bytes of the checksum at the end.
const CHECKSUM_BYTES: usize = 32;

/// The folder of one run.
#[derive(Debug)]
pub(super) struct Work {
    folder: PathBuf,
    /// Everything besides the picture that a view depends on.
    setting: String,
    /// None once it turned out that nothing can be kept.
    usable: bool,
}

impl Work {
    /// Uses a folder, which is made if need be; `setting` names the networks.
    pub(super) fn open(folder: PathBuf, setting: String) -> Self {
        let usable = fs::create_dir_all(&folder).is_ok();
        Self { folder, setting, usable }
    }

    /// The view of a picture that is kept.
    pub(super) fn read(&self, pixels: &[u8; 32], roi: Roi) -> Option<View> {
        let bytes = fs::read(self.path(pixels, roi)).ok()?;
        let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM_BYTES)?)?;
        if Sha256::digest(content)[..] != *sum {
            return None;
        }
        let mut reading = WorkFileReader(content.strip_prefix(MAGIC)?);
        let [x, y, width, height] = reading.numbers()?;
        let [map_width, map_height] = reading.numbers()?;
        let [brightness, sharpness] = [reading.float()?, reading.float()?];
        let maps = reading.planes()?;
        let patches = reading.planes()?;
        let geometry = Geometry::new(Roi { x, y, width, height }, map_width, map_height);
        Some(View { geometry, look: Look { brightness, sharpness }, maps, patches })
    }

    /// Keeps the view of a picture, if there is room.
    pub(super) fn write(&mut self, pixels: &[u8; 32], roi: Roi, view: &View, (width, height): (u32, u32)) {
        if !self.usable {
            return;
        }
        let bytes = encoded(view, width, height);
        let free = statvfs(&self.folder).map_or(0, |room| room.f_bavail.saturating_mul(room.f_frsize));
        let kept = free > LEAVE_FREE + bytes.len() as u64 && put(&self.path(pixels, roi), &bytes).is_some();
        if !kept {
            tracing::info!(folder = %self.folder.display(), "no room for what is worked out: a run that is interrupted begins again");
            self.usable = false;
        }
    }

    /// Deletes everything: the run is done.
    pub(super) fn clear(&self) {
        // What is left is overwritten or used by the next run.
        let _ = fs::remove_dir_all(&self.folder);
    }

    fn path(&self, pixels: &[u8; 32], roi: Roi) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(pixels);
        hash.update(format!("{},{},{},{}\n{}", roi.x, roi.y, roi.width, roi.height, self.setting));
        let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(digits)
    }
}

fn put(path: &Path, bytes: &[u8]) -> Option<()> {
    let draft = Draft::create(path).ok()?;
    let mut file: &File = draft.file();
    file.write_all(bytes).ok()?;
    draft.keep().ok()
}

fn encoded(view: &View, width: u32, height: u32) -> Vec<u8> {
    let View { geometry, look, maps, patches } = view;
    let mut bytes = MAGIC.to_vec();
    let roi = geometry.roi();
    for number in [roi.x, roi.y, roi.width, roi.height, width, height] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(look.brightness.to_le_bytes());
    bytes.extend(look.sharpness.to_le_bytes());
    for planes in [maps, patches] {
        bytes.extend((planes.len() as u32).to_le_bytes());
        for plane in planes {
            bytes.extend((plane.len() as u32).to_le_bytes());
            bytes.extend(plane.iter().flat_map(|value| value.to_le_bytes()));
        }
    }
    let sum = Sha256::digest(&bytes);
    bytes.extend(sum);
    bytes
}

/// The rest of a file.
struct WorkFileReader<'a>(&'a [u8]);

impl WorkFileReader<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn number(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn numbers<const N: usize>(&mut self) -> Option<[u32; N]> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = self.number()?;
        }
        Some(numbers)
    }

    fn float(&mut self) -> Option<f64> {
        self.bytes().map(f64::from_le_bytes)
    }

    fn planes(&mut self) -> Option<Vec<Vec<f16>>> {
        (0..self.number()?).map(|_| self.plane()).collect()
    }

    fn plane(&mut self) -> Option<Vec<f16>> {
        let length = self.number()? as usize;
        let (plane, rest) = self.0.split_at_checked(length.checked_mul(2)?)?;
        self.0 = rest;
        Some(plane.chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]])).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> (View, Roi) {
        let roi = Roi { x: 1, y: 2, width: 30, height: 40 };
        let plane = |values: &[f32]| values.iter().map(|value| f16::from_f32(*value)).collect::<Vec<_>>();
        let view = View {
            geometry: Geometry::new(roi, 2, 1),
            look: Look { brightness: 0.5, sharpness: 0.25 },
            maps: vec![plane(&[0.5, 0.25])],
            patches: vec![plane(&[1.0]), plane(&[])],
        };
        (view, roi)
    }

    #[test]
    fn view_comes_back_as_it_was_for_the_same_picture_region_and_networks() {
        let folder = tempfile::tempdir().unwrap();
        let (view, roi) = view();
        let mut work = Work::open(folder.path().join(".work"), "a".to_owned());
        assert_eq!(work.read(&[1; 32], roi), None);
        work.write(&[1; 32], roi, &view, (2, 1));
        assert_eq!(work.read(&[1; 32], roi), Some(view));
        assert_eq!(work.read(&[2; 32], roi), None);
        assert_eq!(work.read(&[1; 32], Roi { x: 0, ..roi }), None);
        assert_eq!(Work::open(folder.path().join(".work"), "b".to_owned()).read(&[1; 32], roi), None);
        work.clear();
        assert_eq!((work.read(&[1; 32], roi), folder.path().read_dir().unwrap().count()), (None, 0));
    }

    #[test]
    fn damaged_view_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let (view, roi) = view();
        let mut work = Work::open(folder.path().to_owned(), String::new());
        work.write(&[1; 32], roi, &view, (2, 1));
        let path = work.path(&[1; 32], roi);
        let bytes = fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            assert_eq!(work.read(&[1; 32], roi), None, "{length} bytes");
        }
        let mut other = bytes.clone();
        other[40] ^= 1;
        fs::write(&path, &other).unwrap();
        assert_eq!(work.read(&[1; 32], roi), None);
    }

    #[test]
    fn folder_that_cannot_be_made_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let (view, roi) = view();
        let mut work = Work::open(folder.path().join("file/.work"), String::new());
        work.write(&[1; 32], roi, &view, (2, 1));
        assert_eq!(work.read(&[1; 32], roi), None);
    }
}

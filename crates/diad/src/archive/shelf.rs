//! Which pictures there are, and which leave first. Knows names and sizes, touches no file but to list them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use super::{ImageKind, parse_name};

/// Pictures in the order in which they leave: `PASS` before the others, old before new.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    sizes: BTreeMap<EvictionRank, u64>,
    bytes: u64,
}

/// When a picture's turn to leave comes: by worth, then by when it was written. A part's number would not do, for every
/// camera counts by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct EvictionRank {
    worth: EvictionClass,
    written: SystemTime,
    name: PathBuf,
}

/// What a picture is worth when room is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum EvictionClass {
    Pass,
    Other,
}

/// What a picture of ours is worth by its name; none if the file is somebody else's, who may have put it there to keep it.
fn worth(name: &OsStr) -> Option<EvictionClass> {
    let name = name.to_str()?;
    let stem = ImageKind::ALL.iter().find_map(|print| name.strip_suffix(print.ending()))?;
    let (part, verdict) = stem.rsplit_once('-')?;
    parse_name(part)?;
    Some(if verdict == "PASS" { EvictionClass::Pass } else { EvictionClass::Other })
}

impl EvictionRank {
    fn of(name: PathBuf, written: SystemTime) -> Option<Self> {
        Some(Self { worth: worth(name.file_name()?)?, written, name })
    }
}

impl Shelf {
    /// The pictures below a folder. What a killed process left half-written is removed.
    pub(super) fn of_folder(folder: &Path) -> io::Result<Self> {
        let mut shelf = Self::default();
        for day in fs::read_dir(folder)? {
            let day = day?;
            if !day.file_type()?.is_dir() {
                continue;
            }
            for entry in fs::read_dir(day.path())? {
                let entry = entry?;
                let name = entry.file_name();
                let text = name.to_string_lossy();
                if text.starts_with('.') && text.ends_with(".part") {
                    let _ = fs::remove_file(entry.path());
                } else if worth(&name).is_some() {
                    let metadata = entry.metadata()?;
                    shelf.put(Path::new(&day.file_name()).join(&name), metadata.len(), metadata.modified()?);
                }
            }
        }
        Ok(shelf)
    }

    pub(super) fn len(&self) -> usize {
        self.sizes.len()
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A picture has been put there. One whose name is not [of a part](parse_name) is not kept account of.
    pub(super) fn put(&mut self, name: PathBuf, bytes: u64, written: SystemTime) {
        if let Some(turn) = EvictionRank::of(name, written) {
            self.sizes.insert(turn, bytes);
            self.bytes += bytes;
        }
    }

    /// Takes pictures down until the rest needs at most `bytes`, to make room for one of this name: none that is worth
    /// more. `None`, and all stay, if that would not do.
    pub(super) fn make_room(&mut self, bytes: u64, name: &Path) -> Option<Vec<PathBuf>> {
        if self.bytes <= bytes {
            return Some(Vec::new());
        }
        let worth = worth(name.file_name()?)?;
        let may_go: u64 = self.sizes.iter().take_while(|(turn, _)| turn.worth <= worth).map(|(_, size)| size).sum();
        if self.bytes - may_go > bytes {
            return None;
        }
        let mut down = Vec::new();
        while self.bytes > bytes
            && let Some((EvictionRank { name, .. }, size)) = self.sizes.pop_first()
        {
            self.bytes -= size;
            down.push(name);
        }
        Some(down)
    }

    /// Takes down every picture of a day before `day`, which is written `2026-01-31`.
    pub(super) fn older_than(&mut self, day: &str) -> Vec<PathBuf> {
        let mut down = Vec::new();
        self.sizes.retain(|EvictionRank { name, .. }, size| {
            let old = name.as_path() < Path::new(day);
            if old {
                self.bytes -= *size;
                down.push(name.clone());
            }
            !old
        });
        down
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    /// Ten bytes for each, written one after the other.
    fn shelf(names: &[&str]) -> Shelf {
        let mut shelf = Shelf::default();
        (0..).zip(names).for_each(|(second, name)| shelf.put(PathBuf::from(name), 10, at(second)));
        shelf
    }

    fn paths<const N: usize>(names: [&str; N]) -> Option<Vec<PathBuf>> {
        Some(names.map(PathBuf::from).to_vec())
    }

    #[test]
    fn make_room_takes_the_oldest_pass_first_and_then_the_oldest() {
        let mut shelf = shelf(&[
            "2026-01-01/R-cam1-0000000901-REJECT.frame.png",
            "2026-01-02/R-cam1-0000000902-PASS.frame.png",
            "2026-01-03/R-cam0-0000000003-PASS.frame.png",
            "2026-01-03/R-cam0-0000000004-REVIEW.frame.png",
        ]);
        let new = Path::new("2026-01-03/R-cam0-0000000005-UNJUDGED.frame.png");
        assert_eq!(shelf.make_room(40, new), paths([]));
        assert_eq!(
            shelf.make_room(25, new),
            paths(["2026-01-02/R-cam1-0000000902-PASS.frame.png", "2026-01-03/R-cam0-0000000003-PASS.frame.png"])
        );
        assert_eq!(shelf.make_room(19, new), paths(["2026-01-01/R-cam1-0000000901-REJECT.frame.png"]));
        assert_eq!((shelf.len(), shelf.bytes()), (1, 10));
    }

    #[test]
    fn make_room_for_a_pass_takes_down_none_that_did_not_pass() {
        let new = Path::new("2026-01-03/R-cam0-0000000005-PASS.frame.png");
        let mut shelf = shelf(&[
            "2026-01-02/R-cam0-0000000002-PASS.frame.png",
            "2026-01-02/R-cam0-0000000003-REJECT.frame.png",
            "2026-01-03/R-cam0-0000000004-UNJUDGED.frame.png",
        ]);
        assert_eq!(shelf.make_room(15, new), None);
        assert_eq!(shelf.len(), 3);
        assert_eq!(shelf.make_room(20, new), paths(["2026-01-02/R-cam0-0000000002-PASS.frame.png"]));
    }

    #[test]
    fn older_than_goes_by_the_day() {
        let mut shelf = shelf(&["2026-01-01/R-cam0-1-REJECT.frame.png", "2026-01-02/R-cam0-2-PASS.frame.png"]);
        assert_eq!(shelf.older_than("2026-01-02"), [PathBuf::from("2026-01-01/R-cam0-1-REJECT.frame.png")]);
        assert_eq!(shelf.bytes(), 10);
    }

    #[test]
    fn of_folder_finds_what_is_ours_in_the_order_it_was_written_and_removes_what_is_half_written() {
        let folder = tempfile::tempdir().unwrap();
        let day = folder.path().join("2026-01-01");
        fs::create_dir(&day).unwrap();
        for (second, name) in [(9, "R-cam0-1-PASS.frame.png"), (5, "R-cam1-2-PASS.overlay.png")] {
            fs::write(day.join(name), [0; 7]).unwrap();
            fs::File::options().write(true).open(day.join(name)).unwrap().set_modified(at(second)).unwrap();
        }
        fs::write(day.join(".R-cam0-3-PASS.frame.png.123.part"), [0; 7]).unwrap();
        let mine = [folder.path().join("notes.txt"), day.join("for the supplier.png"), day.join("R-cam0-1-PASS.png")];
        mine.iter().for_each(|path| fs::write(path, "mine").unwrap());
        let mut shelf = Shelf::of_folder(folder.path()).unwrap();
        assert_eq!((shelf.len(), shelf.bytes()), (2, 14));
        assert_eq!(fs::read_dir(&day).unwrap().count(), 4);
        let new = Path::new("2026-01-01/R-cam0-4-PASS.frame.png");
        assert_eq!(shelf.make_room(7, new), paths(["2026-01-01/R-cam1-2-PASS.overlay.png"]));
        assert!(shelf.older_than("2026-02-01").len() == 1 && mine.iter().all(|path| path.exists()));
    }
}

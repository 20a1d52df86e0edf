//! Which pictures there are, and which leave first. Knows names and sizes, touches no file but to list them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Pictures in the order in which they leave: `PASS` before the others, old before new.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    sizes: BTreeMap<(Worth, PathBuf), u64>,
    bytes: u64,
}

/// What a picture is worth when room is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Pass,
    Other,
}

fn worth(name: &Path) -> Worth {
    let name = name.to_string_lossy();
    if name.contains("-PASS.") { Worth::Pass } else { Worth::Other }
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
                } else if text.ends_with(".png") {
                    shelf.put(Path::new(&day.file_name()).join(&name), entry.metadata()?.len());
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

    /// A picture has been put there.
    pub(super) fn put(&mut self, name: PathBuf, bytes: u64) {
        let before = self.sizes.insert((worth(&name), name), bytes);
        self.bytes = self.bytes - before.unwrap_or(0) + bytes;
    }

    /// Takes pictures down until the rest needs at most `bytes`.
    pub(super) fn make_room(&mut self, bytes: u64) -> Vec<PathBuf> {
        let mut down = Vec::new();
        while self.bytes > bytes
            && let Some(((_, name), size)) = self.sizes.pop_first()
        {
            self.bytes -= size;
            down.push(name);
        }
        down
    }

    /// Takes down every picture of a day before `day`, which is written `2026-01-31`.
    pub(super) fn older_than(&mut self, day: &str) -> Vec<PathBuf> {
        let mut down = Vec::new();
        self.sizes.retain(|(_, name), size| {
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
    use super::*;

    fn shelf(names: &[&str]) -> Shelf {
        let mut shelf = Shelf::default();
        names.iter().for_each(|name| shelf.put(PathBuf::from(name), 10));
        shelf
    }

    #[test]
    fn make_room_takes_the_oldest_pass_first_and_then_the_oldest() {
        let mut shelf = shelf(&[
            "2026-01-01/R-cam0-0000000001-REJECT.frame.png",
            "2026-01-02/R-cam0-0000000002-PASS.frame.png",
            "2026-01-03/R-cam0-0000000003-PASS.frame.png",
            "2026-01-03/R-cam0-0000000004-REVIEW.frame.png",
        ]);
        assert!(shelf.make_room(40).is_empty());
        assert_eq!(
            shelf.make_room(25),
            [
                PathBuf::from("2026-01-02/R-cam0-0000000002-PASS.frame.png"),
                PathBuf::from("2026-01-03/R-cam0-0000000003-PASS.frame.png"),
            ]
        );
        assert_eq!(shelf.make_room(19), [PathBuf::from("2026-01-01/R-cam0-0000000001-REJECT.frame.png")]);
        assert_eq!((shelf.len(), shelf.bytes()), (1, 10));
    }

    #[test]
    fn older_than_goes_by_the_day() {
        let mut shelf = shelf(&["2026-01-01/a-REJECT.frame.png", "2026-01-02/b-PASS.frame.png"]);
        assert_eq!(shelf.older_than("2026-01-02"), [PathBuf::from("2026-01-01/a-REJECT.frame.png")]);
        assert_eq!(shelf.bytes(), 10);
    }

    #[test]
    fn put_of_the_same_name_counts_once() {
        let mut shelf = shelf(&["2026-01-01/a-PASS.frame.png"]);
        shelf.put(PathBuf::from("2026-01-01/a-PASS.frame.png"), 25);
        assert_eq!((shelf.len(), shelf.bytes()), (1, 25));
    }

    #[test]
    fn of_folder_finds_what_is_there_and_removes_what_is_half_written() {
        let folder = tempfile::tempdir().unwrap();
        let day = folder.path().join("2026-01-01");
        fs::create_dir(&day).unwrap();
        fs::write(day.join("a-PASS.frame.png"), [0; 7]).unwrap();
        fs::write(day.join(".b-PASS.frame.png.123.part"), [0; 7]).unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        let shelf = Shelf::of_folder(folder.path()).unwrap();
        assert_eq!((shelf.len(), shelf.bytes()), (1, 7));
        assert_eq!(fs::read_dir(&day).unwrap().count(), 1);
        assert!(folder.path().join("notes.txt").exists());
    }
}

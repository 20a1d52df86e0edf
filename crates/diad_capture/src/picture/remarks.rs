//! What a person should know of a picture that can be judged all the same.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tracing::warn;

/// Folders whose pictures have been remarked on are remembered up to this number, so that a folder is named once.
const MAX_REMARKED_FOLDERS: usize = 1024;

/// What is remarkable of a picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Remarks {
    /// It is stored turned or mirrored, by this EXIF orientation (2 to 8), and judged as it is stored.
    pub orientation: Option<u16>,
    /// No value of 16 bits needs more than these, and nothing in the file says that there are no more.
    pub narrow_bits: Option<u32>,
}

/// Said already, by folder and kind.
static SAID: Mutex<BTreeSet<(PathBuf, &str)>> = Mutex::new(BTreeSet::new());

impl Remarks {
    /// Names the picture in the log: the first of its folder for each kind of remark.
    pub(super) fn log(self, path: &Path) {
        let file = path.display();
        if let Some(orientation) = self.orientation
            && is_first(path, "orientation")
        {
            warn!(%file, orientation, "picture is stored turned (EXIF orientation); judged as stored, not as viewers show it");
        }
        if let Some(bits) = self.narrow_bits
            && is_first(path, "bits")
        {
            let most = (1_u32 << bits) - 1;
            warn!(%file, "no value of 16 bits is above {most}: {bits} bits in 16? Then it is judged far too dark; \
                          have them scaled, or stored with the PNG chunk sBIT");
        }
    }
}

fn is_first(path: &Path, kind: &'static str) -> bool {
    let folder = path.parent().unwrap_or(path).to_owned();
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    said.len() < MAX_REMARKED_FOLDERS && said.insert((folder, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_first_once_for_each_folder_and_kind() {
        let of = |name: &str, kind| is_first(&Path::new("/h/remarks").join(name), kind);
        assert!(of("a/1.png", "bits") && !of("a/2.png", "bits"));
        assert!(of("a/1.png", "orientation") && of("b/1.png", "bits"));
    }
}

//! What file managers, archives and network drives leave beside pictures: no camera took it.

use std::path::Path;

/// Folders of other systems, in any case.
const FOLDERS: [&str; 7] =
    ["__MACOSX", "@eaDir", "@Recycle", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"];

/// Whether a file or folder is litter by its name: hidden (`._1.png`, `.thumbnails`, `.Trash-1000`), the lock of an office
/// program (`~$1.png`), or a folder that macOS, Windows or a network drive makes for itself (`__MACOSX`, `@eaDir`).
#[must_use]
pub fn is_litter(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || name.starts_with("~$") || FOLDERS.iter().any(|litter| name.eq_ignore_ascii_case(litter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_litter_knows_what_other_systems_leave_and_nothing_else() {
        for litter in ["a/._1.png", ".DS_Store.png", "~$1.png", "@eaDir", "a/__MACOSX", ".Trash-1000", "$Recycle.Bin"] {
            assert!(is_litter(Path::new(litter)), "{litter}");
        }
        for part in ["1.png", "a.b/1.png", "~1.png", "@1.png", "eaDir", "MACOSX", "thumbs.png", ".hidden/1.png"] {
            assert!(!is_litter(Path::new(part)), "{part}");
        }
    }
}

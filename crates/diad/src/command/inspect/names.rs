//! A name for each picture, for the files that are written about it.

use std::collections::HashSet;
use std::path::{Component, Path};

/// One name per path, in order, no two alike: the file's name without its ending; where that is not enough for all,
/// with as many folders before it as it takes (`scratch_000`, `dent_000`); and for one file given twice, a number.
pub fn distinct(paths: &[impl AsRef<Path>]) -> Vec<String> {
    let parts: Vec<Vec<String>> = paths.iter().map(|path| parts(path.as_ref())).collect();
    let longest = parts.iter().map(Vec::len).max().unwrap_or(0);
    let joined = |count: usize| -> Vec<String> {
        parts.iter().map(|parts| parts[parts.len().saturating_sub(count)..].join("_")).collect()
    };
    (1..=longest).map(joined).find(|names| all_differ(names)).unwrap_or_else(|| numbered(joined(1)))
}

/// Folders and name of a path, without the file's ending.
fn parts(path: &Path) -> Vec<String> {
    let bare = path.with_extension("");
    bare.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect()
}

fn all_differ(names: &[String]) -> bool {
    let mut seen = HashSet::new();
    names.iter().all(|name| seen.insert(name))
}

/// The second `a` becomes `a_2`, unless another is called that.
fn numbered(names: Vec<String>) -> Vec<String> {
    let mut taken: HashSet<String> = names.iter().cloned().collect();
    let mut seen = HashSet::new();
    let mut distinct = Vec::with_capacity(names.len());
    for name in names {
        let mut given = name.clone();
        if !seen.insert(name.clone()) {
            let mut number = 2_u64;
            given = format!("{name}_{number}");
            while !taken.insert(given.clone()) {
                number += 1;
                given = format!("{name}_{number}");
            }
        }
        distinct.push(given);
    }
    distinct
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn distinct_takes_as_many_folders_as_it_needs() {
        for (paths, want) in [
            (&["/d/a.png", "/d/b.jpg"][..], &["a", "b"][..]),
            (&["x/000.png", "y/000.png"], &["x_000", "y_000"]),
            (&["p/x/0.png", "q/x/0.png", "q/y/1.png"], &["p_x_0", "q_x_0", "q_y_1"]),
            (&["a.png", "./a.png", "a.jpg", "a_2.png"], &["a", "a_3", "a_4", "a_2"]),
            (&["a.tar.png"], &["a.tar"]),
        ] {
            assert_eq!(distinct(paths), want);
        }
    }

    proptest! {
        #[test]
        fn distinct_names_are_distinct_and_stay_in_the_folder(paths in prop::collection::vec("[./]{0,2}([ab_]{1,2}/){0,2}[ab_]{1,2}(\\.(png|jpg))?", 0..12)) {
            let names = distinct(&paths);
            prop_assert_eq!(names.len(), paths.len());
            prop_assert!(all_differ(&names));
            prop_assert!(names.iter().all(|name| !name.contains('/')));
        }
    }
}

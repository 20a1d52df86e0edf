//! What two settings do not share.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A value that is another one, or is set in only one of the two. Prints as `path: old → new`; of secrets there are only
/// the paths of their files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// YAML path of the value.
    pub path: String,
    /// The value before, if there was one.
    pub before: Option<String>,
    /// The value after, if there is one.
    pub after: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
        write!(f, "{}: {} → {}", self.path, word(&self.before), word(&self.after))
    }
}

/// Every difference between effective values, by path.
pub(super) fn between(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<Difference> {
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |values: &BTreeMap<String, String>, path: &String| values.get(path).cloned();
    let both = paths.into_iter().map(|path| (path, of(before, path), of(after, path)));
    both.filter(|(_, before, after)| before != after)
        .map(|(path, before, after)| Difference { path: path.clone(), before, after })
        .collect()
}

//! What can be wrong with a manifest.

use serde_json::error::Category;

use super::{FORMAT, GraphName};

/// A manifest that cannot be used. Whoever knows the file adds its path.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The text ends in the middle: a broken copy.
    #[error("text ends early; copy the bundle again")]
    Truncated(#[source] serde_json::Error),
    /// The text is not JSON.
    #[error("text is not JSON; export the bundle again")]
    Syntax(#[source] serde_json::Error),
    /// A field that this format does not have.
    #[error("a field is not known in formats 1 to {FORMAT}; export the bundle again with this version's exporter")]
    UnknownField(#[source] serde_json::Error),
    /// A field is missing or is not what it should be.
    #[error("a field is missing or malformed; export the bundle again with this version's exporter")]
    Field(#[source] serde_json::Error),
    /// The manifest is of another format.
    #[error(
        "format is {found}, this program reads formats 1 to {FORMAT}; export the bundle again or take the program that reads it"
    )]
    Format {
        /// The format found.
        found: u64,
    },
    /// A field that the manifest's format does not have yet.
    #[error("field `{field}` came with format 2, this manifest is of format 1; export the bundle again")]
    Newer {
        /// The field.
        field: &'static str,
    },
    /// A number or a list is out of its range.
    #[error("{field} is {found}, must be {allowed}")]
    Value {
        /// Where, as a path of keys.
        field: String,
        /// What was found.
        found: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A graph has another number of inputs or outputs than the method gives it.
    #[error("graph {graph} has {found} {side}, must have {wanted}")]
    Count {
        /// The graph.
        graph: GraphName,
        /// `inputs` or `outputs`.
        side: &'static str,
        /// Number found.
        found: usize,
        /// Number wanted, in words.
        wanted: &'static str,
    },
    /// The shapes or element types of the graphs do not agree.
    #[error("graph {graph}: {tensor:?} is {found}, must be {wanted}")]
    Shape {
        /// The graph.
        graph: GraphName,
        /// Name of the input or output.
        tensor: String,
        /// Shape or type found.
        found: String,
        /// Shape or type that the rest of the manifest asks for.
        wanted: String,
    },
}

impl ManifestError {
    pub(crate) fn from_json(error: serde_json::Error) -> Self {
        match error.classify() {
            Category::Eof | Category::Io => Self::Truncated(error),
            Category::Syntax => Self::Syntax(error),
            // serde has no code for it, only this wording; a change of it would still be refused, as `Field`.
            Category::Data if error.to_string().starts_with("unknown field") => Self::UnknownField(error),
            Category::Data => Self::Field(error),
        }
    }
}

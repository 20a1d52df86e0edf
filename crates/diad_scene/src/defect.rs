//! Kinds of defect.

use std::fmt;

/// What is wrong with a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Defect {
    /// A thin curved line, ground bright or dark into the surface (on fabric: an abraded line).
    Scratch,
    /// A local hollow or bulge which only the shading shows.
    Dent,
    /// A translucent blotch with an irregular edge.
    Stain,
    /// A hole, pin, tooth, pill, component, thread or printed element is absent.
    MissingFeature,
    /// A chip, fibre or droplet of another material lies on the part.
    ForeignBody,
    /// An edge or thread is bent out of its line.
    Deformation,
    /// A feature is shifted or turned beyond tolerance.
    Misplacement,
}

impl Defect {
    /// Every kind, in the order of declaration.
    pub const ALL: [Defect; 7] = [
        Defect::Scratch,
        Defect::Dent,
        Defect::Stain,
        Defect::MissingFeature,
        Defect::ForeignBody,
        Defect::Deformation,
        Defect::Misplacement,
    ];

    /// The name used for folders and events: lower case, words joined by `_`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Defect::Scratch => "scratch",
            Defect::Dent => "dent",
            Defect::Stain => "stain",
            Defect::MissingFeature => "missing_feature",
            Defect::ForeignBody => "foreign_body",
            Defect::Deformation => "deformation",
            Defect::Misplacement => "misplacement",
        }
    }

    /// The kind with this [`name`](Self::name), if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

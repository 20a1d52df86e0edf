//! The products of the line: one nominal design each.

mod blister;
mod cap;
mod circuit;
mod connector;
mod design;
mod fabric;
mod gear;
mod glass;
mod washer;
mod wood;

pub(crate) use design::{Alteration, Design, Edge};

use std::fmt;

use crate::Defect;

/// A class of part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Product {
    /// A turned steel flange with a bore and six holes.
    Washer,
    /// A moulded gear with spokes.
    Gear,
    /// A moulded connector housing with pins.
    Connector,
    /// A plain weave with coloured threads.
    Fabric,
    /// A populated circuit board.
    Circuit,
    /// A bottle mouth seen from above.
    Glass,
    /// An oak tile with dowel holes and a burnt mark.
    Wood,
    /// A blister of twelve pills.
    Blister,
    /// A crown cap with a printed logo.
    Cap,
}

impl Product {
    /// Every product, in the order a line brings them.
    pub const ALL: [Product; 9] = [
        Product::Washer,
        Product::Gear,
        Product::Connector,
        Product::Fabric,
        Product::Circuit,
        Product::Glass,
        Product::Wood,
        Product::Blister,
        Product::Cap,
    ];

    /// The name used for folders and events: one lower-case word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Product::Washer => "washer",
            Product::Gear => "gear",
            Product::Connector => "connector",
            Product::Fabric => "fabric",
            Product::Circuit => "circuit",
            Product::Glass => "glass",
            Product::Wood => "wood",
            Product::Blister => "blister",
            Product::Cap => "cap",
        }
    }

    /// The product with this [`name`](Self::name), if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    /// The kinds of defect which make sense for this product; a line draws from these.
    #[must_use]
    pub fn defects(self) -> &'static [Defect] {
        const SOLID: &[Defect] = &Defect::ALL;
        const FLAT: &[Defect] = &[
            Defect::Scratch,
            Defect::Stain,
            Defect::MissingFeature,
            Defect::ForeignBody,
            Defect::Deformation,
            Defect::Misplacement,
        ];
        match self {
            Product::Fabric | Product::Circuit => FLAT,
            _ => SOLID,
        }
    }

    pub(crate) fn design(self) -> Design {
        match self {
            Product::Washer => washer::DESIGN,
            Product::Gear => gear::DESIGN,
            Product::Connector => connector::DESIGN,
            Product::Fabric => fabric::DESIGN,
            Product::Circuit => circuit::DESIGN,
            Product::Glass => glass::DESIGN,
            Product::Wood => wood::DESIGN,
            Product::Blister => blister::DESIGN,
            Product::Cap => cap::DESIGN,
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

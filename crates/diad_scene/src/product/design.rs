//! What every product tells the renderer, and how a part may depart from its nominal design.

use crate::dice::Dice;
use crate::geometry::{Rgb, V2, dim, tinted};
use crate::noise::{Cloud, Grain};
use crate::surface::{Surface, Texel};

/// A nominal design. Lengths are part pixels, angles radians.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Design {
    /// Paints a part: material and batch from the dice, geometry from the design and the alteration.
    pub paint: fn(&mut Surface, &mut Dice, &Alteration),
    /// Colour of the conveyor or fixture under it.
    pub backdrop: Rgb,
    /// How many features can be missing.
    pub features: usize,
    /// The first so many of them can be out of place.
    pub movable: usize,
    /// How far a misplaced feature moves.
    pub shift_px: (f32, f32),
    /// How far it turns at most.
    pub shift_turn: f32,
    /// Draws a place which can be bent.
    pub edge: fn(&mut Dice) -> Edge,
    /// Good parts lie turned by up to this.
    pub max_turn: f32,
}

impl Design {
    /// The conveyor of one picture: its tone and fine grain.
    pub fn backdrop(&self, dice: &mut Dice) -> impl Fn(V2) -> Texel + use<> {
        let color = tinted(self.backdrop, dice.tint(0.03, 0.01));
        let seed = dice.bits();
        let (grain, cloud) = (Grain::new(seed), Cloud::new(seed ^ 3));
        move |at| {
            let tone = 1.0 + 0.025 * grain.at(at * 0.45) + 0.02 * cloud.at(at * 0.03);
            Texel { part: 0.0, ..Texel::solid(dim(color, tone), 0.0, 0.03, 12.0) }
        }
    }
}

/// A place which can be bent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edge {
    pub at: V2,
    /// The direction in which it gives way; a nick of a brittle edge points into the part.
    pub push: V2,
    /// Farthest the bend may reach, in pixels.
    pub reach_px: f32,
}

/// How a part departs from its design.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Alteration {
    /// As designed.
    None,
    /// A feature is absent. `area_px` is a hint for features without a size of their own.
    Missing { feature: usize, area_px: f32 },
    /// A feature is out of place.
    Moved { feature: usize, by: V2, turn: f32, area_px: f32 },
}

/// Where a feature lies on this part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub at: V2,
    pub turn: f32,
}

impl Place {
    /// A part position in the feature's own frame.
    pub fn local(&self, p: V2) -> V2 {
        let q = p - self.at;
        if self.turn == 0.0 { q } else { q.turned(-self.turn) }
    }
}

impl Alteration {
    /// Where the feature with this index lies, given its home; `None` if it is missing.
    pub fn place(&self, feature: usize, home: V2) -> Option<Place> {
        match *self {
            Alteration::Missing { feature: gone, .. } if gone == feature => None,
            Alteration::Moved { feature: moved, by, turn, .. } if moved == feature => {
                Some(Place { at: home + by, turn })
            }
            _ => Some(Place { at: home, turn: 0.0 }),
        }
    }

    pub fn is_missing(&self, feature: usize) -> bool {
        matches!(*self, Alteration::Missing { feature: gone, .. } if gone == feature)
    }
}

//! Surface defects, worked into the painted surface of a sound part. All sizes are image pixels.

mod dent;
mod foreign_body;
mod place;
mod scratch;
mod stain;

pub(crate) use dent::dent;
pub(crate) use foreign_body::foreign_body;
pub(crate) use scratch::scratch;
pub(crate) use stain::stain;

/// How large and how strong a defect is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blow {
    /// Aimed area, in pixels.
    pub area_px: f32,
    /// 1 for the first draw, more where that was not visible enough.
    pub strength: f32,
}

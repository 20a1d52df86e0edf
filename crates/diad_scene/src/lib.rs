//! The rendered line: procedural parts with true defect masks, seeded.
//!
//! A [`PartSpec`] names a product, a seed and perhaps a [`Defect`]; [`render()`] turns it into the picture a camera
//! over a conveyor would take, and the mask of the pixels the defect changed. The same specification gives the same
//! bytes every time. A [`Line`] is an endless, addressable sequence of parts, and [`write_dataset`] lays parts out as
//! an MVTec-AD folder.
//!
//! How a picture is made: a product paints a height field with colours and gloss ([`Product`] → surface), surface
//! defects are worked into it, a light shades it (height gives normals, cast shadows and bevels), and a camera with
//! vignetting, blur and noise develops it. A defective part is developed twice, with and without its defect, under
//! the same light and noise; the mask is where the two differ. What this crate never does: read clocks, the
//! environment or the network. Only [`write_dataset`] touches the disk.

mod camera;
mod dataset;
mod defect;
mod dice;
mod error;
mod flaw;
mod geometry;
mod glyph;
mod light;
mod line;
mod mask;
mod noise;
mod part;
mod product;
mod render;
mod surface;

pub use dataset::{DatasetSpec, DatasetSummary, Progress, write_dataset};
pub use defect::Defect;
pub use error::SceneError;
pub use line::Line;
pub use part::{IMAGE_SIDE_PX, PartSpec, RenderedPart};
pub use product::Product;
pub use render::{render, render_sound};

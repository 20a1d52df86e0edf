//! A rectangle of a picture, as settings and thresholds write it.

use diad_core::frame::{MAX_SIDE_PX, Roi};

use super::reader::Section;

/// Reads `x`, `y`, `width` and `height`, all of them, in pixels; the rectangle must lie inside a picture of this size.
pub fn rectangle(keys: Section<'_>, (frame_width, frame_height): (u32, u32)) -> Option<Roi> {
    let keys = keys.only(&["x", "y", "width", "height"]);
    let x = keys.get("x").whole(0..=MAX_SIDE_PX - 1);
    let y = keys.get("y").whole(0..=MAX_SIDE_PX - 1);
    let width = keys.get("width").whole(1..=MAX_SIDE_PX);
    let height = keys.get("height").whole(1..=MAX_SIDE_PX);
    let roi = Roi { x: x?, y: y?, width: width?, height: height? };
    if roi.x + roi.width > frame_width || roi.y + roi.height > frame_height {
        let message = format!("reaches to x {}, y {}", roi.x + roi.width, roi.y + roi.height);
        let allowed = format!("inside the picture of {frame_width}x{frame_height} px");
        return keys.fault(&message, Some(&allowed));
    }
    Some(roi)
}

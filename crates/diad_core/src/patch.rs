//! Joined pixels of a plane, corner to corner included (8-connectivity).

/// Walks the patch around `start` in a plane `width` pixels wide and `height` high. `join` is asked once or more
/// for each pixel touching the patch and says whether it belongs and is new. `open` is scratch space.
pub(crate) fn flood(
    start: usize,
    (width, height): (usize, usize),
    open: &mut Vec<usize>,
    mut join: impl FnMut(usize) -> bool,
) {
    open.clear();
    if join(start) {
        open.push(start);
    }
    while let Some(index) = open.pop() {
        let (x, y) = (index % width, index / width);
        for ny in y.saturating_sub(1)..(y + 2).min(height) {
            for nx in x.saturating_sub(1)..(x + 2).min(width) {
                let near = ny * width + nx;
                if join(near) {
                    open.push(near);
                }
            }
        }
    }
}

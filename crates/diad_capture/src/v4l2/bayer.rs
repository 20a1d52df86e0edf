//! Colour pictures of sensors that see one colour in each pixel.

/// Which colour the first two pixels of the first line see; the second line follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Red and green.
    Rggb,
    /// Green and red.
    Grbg,
    /// Green and blue.
    Gbrg,
    /// Blue and green.
    Bggr,
}

/// One of red, green and blue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Colour {
    Red,
    Green,
    Blue,
}

impl Pattern {
    const fn colour(self, x: usize, y: usize) -> Colour {
        let (x, y) = match self {
            Self::Rggb => (x, y),
            Self::Grbg => (x + 1, y),
            Self::Gbrg => (x, y + 1),
            Self::Bggr => (x + 1, y + 1),
        };
        match (x % 2, y % 2) {
            (0, 0) => Colour::Red,
            (1, 1) => Colour::Blue,
            _ => Colour::Green,
        }
    }
}

/// Fills a picture of red, green and blue from one level a pixel, bilinear: what a pixel does not see is the mean of the
/// neighbours that see it, rounded to nearest. Lines behind an edge are those before it, so that the pattern goes on.
pub(super) fn demosaic(levels: &[u8], width: usize, pattern: Pattern, rgb: &mut [u8]) {
    let height = levels.len() / width.max(1);
    let at = |x: usize, y: usize| u32::from(levels[y * width + x]);
    for (y, line) in rgb.chunks_exact_mut(width * 3).enumerate() {
        let (above, below) = beside(y, height);
        for (x, pixel) in line.chunks_exact_mut(3).enumerate() {
            let (left, right) = beside(x, width);
            let own = at(x, y);
            let across = mean(&[at(left, y), at(right, y)]);
            let down = mean(&[at(x, above), at(x, below)]);
            let levels = match pattern.colour(x, y) {
                Colour::Green => {
                    // The line has one of the other colours, the column the other.
                    if pattern.colour(x + 1, y) == Colour::Red { [across, own, down] } else { [down, own, across] }
                }
                seen => {
                    let green = mean(&[at(left, y), at(right, y), at(x, above), at(x, below)]);
                    let other = mean(&[at(left, above), at(right, above), at(left, below), at(right, below)]);
                    if seen == Colour::Red { [own, green, other] } else { [other, green, own] }
                }
            };
            pixel.copy_from_slice(&levels.map(|level| u8::try_from(level).unwrap_or(u8::MAX)));
        }
    }
}

/// The places before and after one of `count`; mirrored at the edges.
const fn beside(place: usize, count: usize) -> (usize, usize) {
    let last = count.saturating_sub(1);
    let before = if place == 0 { 1 } else { place - 1 };
    let after = if place == last { last.saturating_sub(1) } else { place + 1 };
    (if before > last { last } else { before }, after)
}

fn mean(levels: &[u32]) -> u32 {
    let count = levels.len() as u32;
    (levels.iter().sum::<u32>() + count / 2) / count
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATTERNS: [Pattern; 4] = [Pattern::Rggb, Pattern::Grbg, Pattern::Gbrg, Pattern::Bggr];

    fn coloured(levels: &[u8], width: usize, pattern: Pattern) -> Vec<[u8; 3]> {
        let mut rgb = vec![0; levels.len() * 3];
        demosaic(levels, width, pattern, &mut rgb);
        rgb.chunks_exact(3).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
    }

    /// What a sensor of this pattern gives of a picture of one colour.
    fn seen(colour: [u8; 3], (width, height): (usize, usize), pattern: Pattern) -> Vec<u8> {
        let pixel = |place: usize| match pattern.colour(place % width, place / width) {
            Colour::Red => colour[0],
            Colour::Green => colour[1],
            Colour::Blue => colour[2],
        };
        (0..width * height).map(pixel).collect()
    }

    #[test]
    fn demosaic_of_one_colour_gives_that_colour_everywhere_up_to_the_edges() {
        for pattern in PATTERNS {
            for size in [(2, 2), (3, 3), (4, 6), (7, 5)] {
                let levels = seen([200, 90, 17], size, pattern);
                let found = coloured(&levels, size.0, pattern);
                assert!(found.iter().all(|pixel| *pixel == [200, 90, 17]), "{pattern:?} {size:?}: {found:?}");
            }
        }
    }

    #[test]
    fn demosaic_takes_the_mean_of_the_neighbours_that_see_a_colour() {
        #[rustfmt::skip]
        let levels = [
            10, 20, 30, 40,
            50, 60, 70, 80,
            90, 11, 21, 31,
            41, 51, 61, 71,
        ];
        let found = coloured(&levels, 4, Pattern::Rggb);
        // Column 1, line 1 sees blue; column 1, line 2 and column 2, line 1 see green.
        assert_eq!(found[5], [(10 + 30 + 90 + 21 + 2) / 4, (20 + 50 + 70 + 11 + 2) / 4, 60]);
        assert_eq!(found[9], [56, 11, 56]);
        assert_eq!(found[6], [26, 70, 70]);
        assert_eq!(found[10], [21, (70 + 11 + 31 + 61 + 2) / 4, 66]);
    }

    #[test]
    fn demosaic_of_a_single_pixel_or_line_does_not_fail() {
        assert_eq!(coloured(&[9], 1, Pattern::Rggb), [[9; 3]]);
        assert_eq!(coloured(&[1, 2, 3], 3, Pattern::Bggr).len(), 3);
    }
}

//! Distinguishes a camera that shows what is in front of it from one that repeats an old picture.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

/// How a camera shows that it stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrozenBy {
    /// The picture is the one before, byte for byte.
    Picture,
    /// The driver's count of pictures, which has moved before, stands still.
    Counter,
    /// The driver's time of capture, which has moved before, stands still.
    Clock,
}

impl fmt::Display for FrozenBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Picture => "pictures are the same, byte for byte",
            Self::Counter => "pictures have the same number",
            Self::Clock => "pictures have the same time of capture",
        })
    }
}

/// A camera whose pictures stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frozen {
    /// What stands still.
    pub by: FrozenBy,
    /// Pictures in a row, the first of them included.
    pub pictures: u32,
}

/// Looks at every picture of one camera. It outlives a loss of the camera, so that a camera that shows the old picture after
/// it was opened again is still frozen. Clones look at the same camera.
#[derive(Debug, Clone)]
pub struct FrozenWatch {
    after: NonZeroU32,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    picture: Run<Arc<[u8]>>,
    counter: Run<u32>,
    clock: Run<(i64, i64)>,
}

/// What a picture is known by.
#[derive(Debug)]
pub(crate) struct Marks<'a> {
    pub bytes: &'a Arc<[u8]>,
    /// The driver's count.
    pub counter: u32,
    /// The driver's time of capture: seconds and microseconds of its clock.
    pub clock: (i64, i64),
}

impl FrozenWatch {
    /// A camera is frozen when more than `after` pictures in a row are the same.
    #[must_use]
    pub fn new(after: NonZeroU32) -> Self {
        Self { after, seen: Arc::default() }
    }

    /// The camera was opened: its count and its clock begin again.
    pub(crate) fn opened(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.counter = Run::default();
        seen.clock = Run::default();
    }

    /// Takes note of the next picture; what it shows of the camera.
    pub(crate) fn look(&self, marks: &Marks<'_>) -> Option<Frozen> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let picture = seen.picture.next(marks.bytes);
        let counter = seen.counter.next(&marks.counter);
        let clock = seen.clock.next(&marks.clock);
        // A count or a clock that never moved is none: not every driver has them.
        let counter = if seen.counter.has_moved { counter } else { 1 };
        let clock = if seen.clock.has_moved { clock } else { 1 };
        [(FrozenBy::Picture, picture), (FrozenBy::Counter, counter), (FrozenBy::Clock, clock)]
            .into_iter()
            .find(|(_, pictures)| *pictures > self.after.get())
            .map(|(by, pictures)| Frozen { by, pictures })
    }
}

/// Equal values in a row.
#[derive(Debug)]
struct Run<T> {
    last: Option<T>,
    length: u32,
    has_moved: bool,
}

impl<T> Default for Run<T> {
    fn default() -> Self {
        Self { last: None, length: 0, has_moved: false }
    }
}

impl<T: Clone + PartialEq> Run<T> {
    /// How many values in a row are this one.
    fn next(&mut self, value: &T) -> u32 {
        if self.last.as_ref() == Some(value) {
            self.length = self.length.saturating_add(1);
        } else {
            self.has_moved |= self.last.is_some();
            self.length = 1;
            self.last = Some(value.clone());
        }
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the watch shows of pictures with these levels, counts and seconds.
    fn look(watch: &FrozenWatch, pictures: &[(u8, u32, i64)]) -> Vec<Option<(FrozenBy, u32)>> {
        let each = |&(level, counter, second): &(u8, u32, i64)| {
            let bytes: Arc<[u8]> = vec![level; 4].into();
            let frozen = watch.look(&Marks { bytes: &bytes, counter, clock: (second, 0) });
            frozen.map(|frozen| (frozen.by, frozen.pictures))
        };
        pictures.iter().map(each).collect()
    }

    fn watch(after: u32) -> FrozenWatch {
        FrozenWatch::new(NonZeroU32::new(after).unwrap())
    }

    #[test]
    fn watch_shows_the_picture_after_so_many_equal_ones_and_heals_with_the_first_other() {
        let seen = look(&watch(2), &[(7, 1, 1), (7, 2, 2), (7, 3, 3), (7, 4, 4), (8, 5, 5), (7, 6, 6), (7, 7, 7)]);
        let by = |pictures| Some((FrozenBy::Picture, pictures));
        assert_eq!(seen, [None, None, by(3), by(4), None, None, None]);
    }

    #[test]
    fn watch_shows_a_count_or_a_clock_that_stood_still_after_it_had_moved() {
        let counter = look(&watch(2), &[(1, 1, 1), (2, 2, 2), (3, 2, 3), (4, 2, 4), (5, 3, 5)]);
        assert_eq!(counter, [None, None, None, Some((FrozenBy::Counter, 3)), None]);
        let clock = look(&watch(2), &[(1, 1, 1), (2, 2, 2), (3, 3, 2), (4, 4, 2), (5, 5, 3)]);
        assert_eq!(clock, [None, None, None, Some((FrozenBy::Clock, 3)), None]);
        let none = look(&watch(2), &[(1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0)]);
        assert_eq!(none, [None; 4], "a driver without count and clock");
    }

    #[test]
    fn watch_of_a_camera_that_was_opened_again_still_knows_its_picture() {
        let watch = watch(2);
        look(&watch, &[(7, 1, 1), (7, 2, 2), (7, 3, 3)]);
        watch.opened();
        assert_eq!(look(&watch, &[(7, 0, 9), (8, 0, 10)]), [Some((FrozenBy::Picture, 4)), None]);
    }
}

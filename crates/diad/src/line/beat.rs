//! Heartbeats of the stages: the watchdog is fed only while every one of them moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One stage's heartbeat. A clone is the same heart.
#[derive(Debug, Clone, Default)]
pub struct StageProgress(Arc<AtomicU64>);

impl StageProgress {
    /// The stage has come round once more.
    pub fn tick(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The heartbeats of all stages, looked at from time to time by one supervisor.
#[derive(Debug, Default)]
pub struct StageProgressTable {
    hearts: Vec<(String, StageProgress, u64)>,
}

impl StageProgressTable {
    /// A new heart under a stage's name.
    pub fn add(&mut self, stage: &str) -> StageProgress {
        let beat = StageProgress::default();
        self.hearts.push((stage.to_owned(), beat.clone(), 0));
        beat
    }

    /// Stages whose heart has not moved since the last look on which everything moved. Empty: all move.
    ///
    /// A stage counts as still only against that last good look, so several quick looks do not accuse a slow one.
    pub fn still(&mut self) -> Vec<&str> {
        let all_move = self.hearts.iter().all(|(_, beat, seen)| beat.count() != *seen);
        if all_move {
            for (_, beat, seen) in &mut self.hearts {
                *seen = beat.count();
            }
            return Vec::new();
        }
        self.hearts.iter().filter(|(_, beat, seen)| beat.count() == *seen).map(|(name, _, _)| name.as_str()).collect()
    }

    /// Takes a stage off, because it has ended in good order.
    pub fn remove(&mut self, stage: &str) {
        self.hearts.retain(|(name, _, _)| name != stage);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn still_names_the_stage_that_does_not_move() {
        let mut beats = StageProgressTable::default();
        let (a, b) = (beats.add("a"), beats.add("b"));
        a.tick();
        b.tick();
        assert!(beats.still().is_empty());
        a.tick();
        assert_eq!(beats.still(), ["b"]);
        assert_eq!(beats.still(), ["b"], "a second look changes nothing");
        b.tick();
        assert!(beats.still().is_empty());
    }

    #[test]
    fn remove_takes_an_ended_stage_off() {
        let mut beats = StageProgressTable::default();
        let (a, _b) = (beats.add("a"), beats.add("b"));
        a.tick();
        beats.remove("b");
        assert!(beats.still().is_empty());
    }
}

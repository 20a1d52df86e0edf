//! Every door, with every input of its corpus and many small changes of it: no nightly toolchain needed. `make fuzz` looks
//! further, and what it finds belongs into the corpus.

#![expect(clippy::unwrap_used, reason = "everything here is a test, its helpers included")]

mod doors;

use std::fs;
use std::path::Path;

/// A generator that gives the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

/// What means something to a reader of YAML or JSON.
const MARKS: &[u8] = b"\n\t :-[]{}\"#&*!|>0.9eE";

/// Changes that break texts and pictures alike: a flipped bit, a byte less, a byte more, a cut, a stretch twice.
fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    if bytes.is_empty() {
        return bytes.push(dice.roll(256) as u8);
    }
    let at = dice.roll(bytes.len());
    match dice.roll(6) {
        0 => bytes[at] ^= 1 << dice.roll(8),
        1 => drop(bytes.remove(at)),
        2 => bytes.insert(at, MARKS[dice.roll(MARKS.len())]),
        3 => bytes.truncate(at),
        4 => bytes[at] = dice.roll(256) as u8,
        _ => {
            let end = (at + 1 + dice.roll(16)).min(bytes.len());
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
    }
}

#[test]
fn every_door_stands_its_corpus_and_small_changes_of_it() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
    for (name, door) in doors::DOORS {
        let mut files: Vec<_> = fs::read_dir(corpus.join(name)).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has no corpus");
        let mut dice = Dice(1);
        for file in files {
            let seed = fs::read(&file).unwrap();
            door(&seed);
            for _ in 0..1000 {
                let mut bytes = seed.clone();
                for _ in 0..=dice.roll(4) {
                    change(&mut bytes, &mut dice);
                }
                door(&bytes);
            }
        }
    }
}

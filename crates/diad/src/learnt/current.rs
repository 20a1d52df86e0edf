//! `current.json`: which overlay of a product is in use, and what was before it.

use diad_core::drift::{Reference, Signal, Spread};
use diad_core::score::Score;
use diad_publish::wire::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Earlier steps that are remembered.
const MAX_EARLIER_STEPS: usize = 100;
/// What this program writes.
pub(super) const FORMAT: u32 = 1;

/// How a product is judged: by which bank, and with which cut-offs. Cut-offs are for scores of that bank and no other.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The overlay; none: by the model alone.
    #[serde(with = "digest")]
    pub bank: Option<Digest>,
    /// The product's own cut-offs; none: it has no entry of its own.
    pub cuts: Option<Cuts>,
}

/// Cut-offs of a product, and what the drift guard compares it with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cuts {
    /// At or above this, a person should look.
    #[serde(with = "score")]
    pub review: Score,
    /// At or above this, the part is off.
    #[serde(with = "score")]
    pub reject: Score,
    /// What the drift guard knows of it.
    #[serde(with = "reference", default)]
    pub reference: Reference,
}

/// The state in use, and those before it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Current {
    /// The one in use.
    pub now: State,
    /// Those before it, oldest first; at most a hundred.
    pub previous: Vec<State>,
}

/// As the file has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CurrentFile {
    format: u32,
    #[serde(with = "digest")]
    bank: Option<Digest>,
    cuts: Option<Cuts>,
    previous: Vec<State>,
}

impl Current {
    /// Goes on to another state; the one in use becomes the last of those before.
    pub fn go_on(&mut self, next: State) {
        self.previous.push(std::mem::replace(&mut self.now, next));
        let surplus = self.previous.len().saturating_sub(MAX_EARLIER_STEPS);
        self.previous.drain(..surplus);
    }

    /// Goes back one step; false if there is none.
    pub fn go_back(&mut self) -> bool {
        let Some(before) = self.previous.pop() else { return false };
        self.now = before;
        true
    }

    /// The last state before this one that judged by `bank`.
    #[must_use]
    pub fn last_with(&self, bank: Option<Digest>) -> Option<State> {
        self.previous.iter().rev().find(|state| state.bank == bank).copied()
    }

    /// As a file has it.
    pub(super) fn text(&self) -> Result<String, serde_json::Error> {
        let State { bank, cuts } = self.now;
        let document = CurrentFile { format: FORMAT, bank, cuts, previous: self.previous.clone() };
        Ok(format!("{}\n", serde_json::to_string_pretty(&document)?))
    }

    /// Reads what a file has. The format comes first: fields of a later one are no damage.
    pub(super) fn read(text: &str) -> Result<Result<Self, u32>, serde_json::Error> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let Head { format } = serde_json::from_str(text)?;
        if format != FORMAT {
            return Ok(Err(format));
        }
        let CurrentFile { bank, cuts, previous, .. } = serde_json::from_str(text)?;
        Ok(Ok(Self { now: State { bank, cuts }, previous }))
    }
}

mod digest {
    use super::{Deserialize, Deserializer, Digest, Serialize, Serializer, de};

    #[expect(clippy::ref_option, reason = "serde hands a reference to the field")]
    pub(super) fn serialize<S: Serializer>(digest: &Option<Digest>, to: S) -> Result<S::Ok, S::Error> {
        digest.map(|digest| format!("sha256:{}", digest.hex())).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Digest>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| Digest::try_from_hex(&text).map_err(de::Error::custom)).transpose()
    }
}

mod score {
    use super::{Deserialize, Deserializer, Score, Serialize, Serializer, de};
    use crate::output::decimal;

    pub(super) fn serialize<S: Serializer>(score: &Score, to: S) -> Result<S::Ok, S::Error> {
        decimal(score.get()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Score, D::Error> {
        Score::try_new(f64::deserialize(from)? as f32).map_err(de::Error::custom)
    }
}

mod reference {
    use std::collections::BTreeMap;

    use super::{Deserialize, Deserializer, Reference, Serialize, Serializer, Signal, Spread, de};

    pub(super) fn serialize<S: Serializer>(reference: &Reference, to: S) -> Result<S::Ok, S::Error> {
        let known = Signal::ALL.into_iter().filter_map(|signal| Some((signal.as_str(), reference.get(signal)?)));
        let known: BTreeMap<_, _> = known.map(|(name, spread)| (name, [spread.mean(), spread.sd()])).collect();
        known.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Reference, D::Error> {
        let known = BTreeMap::<String, [f64; 2]>::deserialize(from)?;
        let mut reference = Reference::default();
        for (name, [mean, sd]) in known {
            let signal = Signal::ALL.into_iter().find(|signal| signal.as_str() == name);
            let signal = signal.ok_or_else(|| de::Error::custom(format!("no signal is called {name}")))?;
            *reference.get_mut(signal) = Some(Spread::try_new(mean, sd).map_err(de::Error::custom)?);
        }
        Ok(reference)
    }
}

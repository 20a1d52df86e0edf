//! Banks of nothing in particular: they cost what learnt ones of the same size cost.

use std::path::PathBuf;
use std::sync::Arc;

use diad_core::bank::{Bank, BankError};
use diad_core::foundation::Foundation;
use diad_core::join::{JoinError, Joined, Share, Witness, WitnessKind};
use diad_engine::{Bundle, FoundationLoadError, Foundations, OverlayError};

use crate::learnt::overlays;

/// A random bank cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RandomError {
    /// There is no foundation to make a bank for.
    #[error("no foundation found in {}; `make setup-foundation` fetches some", list(.roots))]
    None {
        /// Where foundations were looked for.
        roots: Vec<PathBuf>,
    },
    /// A foundation cannot be used.
    #[error("load a foundation")]
    Foundation(#[from] FoundationLoadError),
    /// The foundation of the model's representation latent cannot be used.
    #[error("load the foundation of the model's latent")]
    Latent(#[source] Box<OverlayError>),
    /// The rows make no bank.
    #[error("fill the bank")]
    Bank(#[from] BankError),
    /// The witnesses cannot be joined.
    #[error("join the witnesses")]
    Join(#[from] JoinError),
}

/// The diffusion model, in pixels and in the latent if it has one, and a bank for every foundation at hand.
pub(super) fn witnesses(bundle: &Bundle, machine: &Foundations, rows: usize) -> Result<Joined, RandomError> {
    let names = machine.at_hand();
    if names.is_empty() {
        return Err(RandomError::None { roots: machine.roots().to_vec() });
    }
    let mut kinds = vec![WitnessKind::Diad];
    let latent = overlays::latent(bundle, machine).map_err(|error| RandomError::Latent(Box::new(error)))?;
    kinds.extend(latent.map(|foundation| WitnessKind::Latent { foundation }));
    for name in names {
        let foundation: Arc<dyn Foundation> = machine.load(&name)?;
        let bank = Arc::new(bank(rows, foundation.shape()[1])?);
        kinds.push(WitnessKind::Bank { foundation, bank });
    }
    let share = Share::try_new(1.0 / kinds.len() as f64, 0.1, 0.1)?;
    Ok(Joined::try_new(kinds.into_iter().map(|kind| Witness::new(kind, share)).collect())?)
}

/// Rows of length 1 in all directions, the same every time.
fn bank(rows: usize, channels: usize) -> Result<Bank, BankError> {
    let mut values: Vec<f32> =
        (1..=rows * channels).map(|i| ((i as f64 * 12.9898).sin() * 43_758.547).fract() as f32).collect();
    for row in values.chunks_exact_mut(channels) {
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        row.iter_mut().for_each(|value| *value /= length);
    }
    Bank::try_new(values, channels)
}

fn list(roots: &[PathBuf]) -> String {
    roots.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bank_is_a_bank_of_any_size() {
        for (rows, channels) in [(1, 1), (7, 3), (200, 192)] {
            let bank = bank(rows, channels).unwrap();
            assert_eq!((bank.len(), bank.channels()), (rows, channels));
        }
    }
}

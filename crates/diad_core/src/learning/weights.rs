//! How much each witness of a product counts. Set on held-out good parts with synthetic damage, never on test pictures.

/// How much a bank counts.
pub const BANK: f64 = 1.0;
/// How much DiAD in pixels counts beside a bank, on a product that its model was trained on.
pub const DIAD: f64 = 0.5;
/// How much DiAD in a representation latent counts beside a bank, on a product that its model was trained on.
pub const LATENT: f64 = 0.25;

/// Whether a model was trained on a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trained {
    /// It was.
    OnProduct,
    /// It was trained on other products only.
    OnOthers,
}

/// Whether the model has a representation latent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latent {
    /// It denoises pixels alone.
    None,
    /// It denoises a representation latent as well.
    Beside,
}

/// The weights of the witnesses of a product, which add up to 1: DiAD, latent DiAD if there is one, then `banks` banks,
/// at least one. A model that was trained on other products only has no weight.
#[must_use]
pub fn weights(trained: Trained, latent: Latent, banks: usize) -> Vec<f64> {
    let own: &[f64] = match latent {
        Latent::None => &[DIAD],
        Latent::Beside => &[DIAD, LATENT],
    };
    let counts = |weight: f64| if trained == Trained::OnProduct { weight } else { 0.0 };
    let mut weights: Vec<f64> = own.iter().copied().map(counts).collect();
    weights.extend(std::iter::repeat_n(BANK, banks));
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_to_one_and_leave_out_a_model_that_does_not_know_the_product() {
        assert_eq!(weights(Trained::OnProduct, Latent::None, 2), [0.2, 0.4, 0.4]);
        assert_eq!(weights(Trained::OnProduct, Latent::Beside, 1), [0.5 / 1.75, 0.25 / 1.75, 1.0 / 1.75]);
        assert_eq!(weights(Trained::OnOthers, Latent::None, 1), [0.0, 1.0]);
        assert_eq!(weights(Trained::OnOthers, Latent::Beside, 2), [0.0, 0.0, 0.5, 0.5]);
    }
}

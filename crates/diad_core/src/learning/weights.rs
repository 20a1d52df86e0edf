//! How much each witness of a product counts. Set on held-out good parts with synthetic damage, never on test pictures.

/// Weight of DiAD in pixels on a product that its model was trained on; the banks share the rest equally.
pub const DIAD: f64 = 0.5;
/// The same where a latent DiAD judges beside it.
pub const DIAD_BESIDE_LATENT: f64 = 0.25;
/// Weight of DiAD in a representation latent on a product that its model was trained on.
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
    let own = match latent {
        Latent::None => vec![DIAD],
        Latent::Beside => vec![DIAD_BESIDE_LATENT, LATENT],
    };
    let mut weights: Vec<f64> =
        own.into_iter().map(|weight| if trained == Trained::OnProduct { weight } else { 0.0 }).collect();
    let rest = 1.0 - weights.iter().sum::<f64>();
    weights.extend(std::iter::repeat_n(rest / banks as f64, banks));
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_to_one_and_leave_out_a_model_that_does_not_know_the_product() {
        assert_eq!(weights(Trained::OnProduct, Latent::None, 2), [0.5, 0.25, 0.25]);
        assert_eq!(weights(Trained::OnProduct, Latent::Beside, 2), [0.25, 0.25, 0.25, 0.25]);
        assert_eq!(weights(Trained::OnOthers, Latent::None, 1), [0.0, 1.0]);
        assert_eq!(weights(Trained::OnOthers, Latent::Beside, 2), [0.0, 0.0, 0.5, 0.5]);
    }
}

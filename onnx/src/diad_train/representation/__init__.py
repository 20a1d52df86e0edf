"""DiAD in a representation latent (Zheng et al. 2025): a frozen foundation's patches in place of an autoencoder's."""

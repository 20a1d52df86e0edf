"""The networks: autoencoder, denoiser, semantic-guided network, feature extractor."""

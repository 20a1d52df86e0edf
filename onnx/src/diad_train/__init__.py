"""Defines, trains, measures and exports the networks of DiAD (He et al., AAAI 2024)."""

"""Frozen feature networks ("foundations") as ONNX graphs: built from published weights with numpy and onnx alone.

A foundation turns a picture into patch features, `[N, D, h, w]`. Banks of reference patches and the latent model stand
on them. Weights are fetched and pinned by `scripts/setup_foundation.sh`; they are never part of this project.
"""

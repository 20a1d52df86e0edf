"""The training losses of the authors, for parity tests alone: no stage of `diad-train fit` uses them."""

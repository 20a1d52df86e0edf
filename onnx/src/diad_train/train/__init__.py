"""Training: stages, the loop that they share, synthetic damage, and the record of a run."""

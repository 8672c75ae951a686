"""Learning by gradient: one training loop for every module, with its batches, precision, budget, checkpoints and curves."""

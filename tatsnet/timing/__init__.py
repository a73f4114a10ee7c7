"""Table 1 of the paper, measured: time per effect of dense and pruned networks, in the same runtime, in one run."""

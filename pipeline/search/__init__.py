"""The search: Ray Tune runs the trials, an Optuna study says which and keeps what became of them."""

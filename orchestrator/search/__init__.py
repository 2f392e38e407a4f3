"""A search over hyperparameters: Optuna proposes, the engine trains, and this package shows what came of it."""

"""Optuna search spaces, one file per method."""

"""Tests of what a stage does."""

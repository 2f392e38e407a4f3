"""Tests of data and text."""

"""Tests for reproducibility: compare a function across fresh processes, or with a golden file."""

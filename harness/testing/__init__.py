"""Reproducibility as a test that fails: fresh processes that are compared, and golden files."""

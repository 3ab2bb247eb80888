"""Benchmarks of the harness itself; ratios come from alternating measurements in one run."""

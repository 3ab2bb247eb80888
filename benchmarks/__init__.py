"""What the harness itself costs: every figure a ratio, measured side by side in one run."""

"""What the harness itself costs, measured side by side in one run wherever two things compare."""

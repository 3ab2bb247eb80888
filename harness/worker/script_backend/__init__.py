"""Scripts that know nothing of the harness, watched through torch's own global hooks."""

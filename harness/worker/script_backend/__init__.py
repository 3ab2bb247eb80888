"""Runs unmodified training scripts and observes them through torch's global hooks."""

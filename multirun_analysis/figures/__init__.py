"""Figures of many runs, for matplotlib: each function takes a Comparison and returns a Figure, or None without data."""

"""k-medians."""

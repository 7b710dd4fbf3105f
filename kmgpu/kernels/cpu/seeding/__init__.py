"""Greedy k-means++."""

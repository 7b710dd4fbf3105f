"""Tiles, vectors and threads: what all CPU kernels are made of."""

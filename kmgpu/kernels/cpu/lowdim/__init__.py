"""k-means of few features: one pass computes every distance and keeps the least."""

# above it a matrix product beats that pass
MOST_FEATURES = 32

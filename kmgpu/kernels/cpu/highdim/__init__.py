"""k-means half-steps in high dimension: matrix products, and bounds that spare them."""

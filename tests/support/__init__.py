"""What several tests use: oracles, data, stand-ins. No test imports another."""

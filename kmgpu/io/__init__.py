"""Data files and models: read without unpickling, written whole or not at all."""

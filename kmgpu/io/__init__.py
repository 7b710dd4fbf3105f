"""Data files, models and images in and out."""

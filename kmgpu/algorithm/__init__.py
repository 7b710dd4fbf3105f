"""Alternating minimisation, written once against the Python Array API standard."""

"""Checks of GPU code on machines without a GPU: see README.md beside this file."""

"""`python -m tests.search`: random problems against brute force."""

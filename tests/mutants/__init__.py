"""`python -m tests.mutants`: mistakes that tests must catch."""

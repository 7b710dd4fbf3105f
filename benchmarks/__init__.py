"""kmgpu and its peers side by side; see README.md beside this file."""

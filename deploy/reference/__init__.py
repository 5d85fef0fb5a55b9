"""The generated pages of docs/: `make docs` writes them, and a test fails when one is stale."""

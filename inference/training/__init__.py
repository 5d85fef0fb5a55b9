"""Training the scorer: see `docs/training.md`."""

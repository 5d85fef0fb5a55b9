"""Training the scorer: see `docs/guide/training.md`."""

"""Scoring with one learned embedding per item instead of its text: see `docs/guide/model.md`."""

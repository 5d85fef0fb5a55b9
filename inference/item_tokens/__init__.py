"""Scoring with one learned embedding an item instead of its text: see `docs/guide/model.md`."""

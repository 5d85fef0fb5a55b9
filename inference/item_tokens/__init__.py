"""Scoring with one learned embedding per item instead of its text: see `docs/model-plane.md`."""

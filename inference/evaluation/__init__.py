"""Offline evaluation of lists: the protocols, the baselines, and the report. Independent of the event plane."""

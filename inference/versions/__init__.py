"""Which version of the model is served, and how that is decided."""

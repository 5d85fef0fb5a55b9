"""How good are the lists? The protocol, the methods to beat, and the report. It knows nothing of the event plane."""

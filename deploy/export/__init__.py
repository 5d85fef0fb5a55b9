"""`ouzel export`: what the topics hold now, in files."""

"""`ouzel ask`: a worker's HTTP API, from the command line."""

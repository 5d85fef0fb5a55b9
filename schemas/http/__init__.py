"""The contract of a worker's HTTP API, `/v1`: the JSON of requests and answers, with their bounds."""

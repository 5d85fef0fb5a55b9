"""How good versions are that learn from one another along a stream: `python -m tests.benchmarks.learning`."""

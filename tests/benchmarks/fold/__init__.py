"""One fold job in Ouzel's worker, a Faust agent, Quix Streams and Bytewax. Run: python -m tests.benchmarks.fold --help

| module | content |
|---|---|
| `load` | the events, including duplicates |
| `job` | the job in plain Python, as run by the three peers |
| `faust_agent`, `quix`, `bytewax_flow` | the job as a program for each peer |
| `environments` | the virtual environments of the peers, with pinned versions |
| `contestants` | how to start each contestant, its changelog topic, and how to read its records |
| `measuring` | CPU time and memory of a process and its children |
| `running` | one run: from topics and events to the figures and the final state |
"""

"""One fold job in Ouzel's worker, a Faust agent, Quix Streams and Bytewax. Run: python -m tests.benchmarks.fold --help

| module | what it is |
|---|---|
| `load` | the events: who does what, and repeats |
| `job` | the job in plain Python, as the three peers run it |
| `faust_agent`, `quix`, `bytewax_flow` | the job as a program of each peer |
| `environments` | the peers' own virtual environments, from pinned versions |
| `contestants` | how each is started, where its changelog is, and what a record of it means |
| `measuring` | processor time and memory of a process and its children |
| `running` | one run: from topics and events to the figures and the state that came out |
"""

"""The contract: what travels on each topic, how it is encoded, and how it evolves.

This package imports nothing else of Ouzel. It is the only place that knows bytes.
"""

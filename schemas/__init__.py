"""The contract: the messages of each topic, their encoding, and how they evolve.

This package imports nothing else from Ouzel. All encoding and decoding of messages happens here.
"""

"""Off-policy evaluation: what another policy would have earned, estimated from logs with known propensities. Pure.

The `gates` of a new version and `ouzel ope` use the same estimators.
"""

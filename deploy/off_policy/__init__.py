"""Off-policy evaluation of logs: `ouzel ope`."""

"""Checks of trust: one file a check; see `_contract.py`."""

"""Tasks: what a service does. One file a task; see `_contract.py`."""

"""Models: architectures that can serve a task. One readable file a model; see `_contract.py`."""

"""Sessions: what answers arrays with outputs. `native` (numpy), `torch`, and exported graphs; one file an engine.

A session part has `open(folder, model, features, state) -> Session`; it is opened once and called from many threads.
"""

"""The shelf of sources: one file a part, which reads one kind of file into a polars frame."""

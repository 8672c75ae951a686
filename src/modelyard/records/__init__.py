"""The nine records: what each stage learnt, in JSON with units, fingerprints and the machine. One file a record."""

from modelyard.records._base import Derived, Estimate, Gate, Record, Run, without_times

__all__ = ["Derived", "Estimate", "Gate", "Record", "Run", "without_times"]

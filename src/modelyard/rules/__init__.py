"""Rules: what a blueprint says that only the parts above it can judge; one file a rule, found by its name.

`Blueprint.load` asks every rule, and stands below what the rules ask: metrics, rates, the venture's lines, records.
"""

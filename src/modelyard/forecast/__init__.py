"""What a build will take and give, told before anything is spent: time, memory, cost, energy and quality, each with an interval.

estimates (what models say of their work) x ceilings (measured on this machine) + pilot (small subsets) ─► forecast ─► beside the outcome
"""

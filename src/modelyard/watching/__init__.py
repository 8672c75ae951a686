"""Watching a service: does what comes in and goes out still look like what the model was made with? Statistics; nothing here knows HTTP.

measures (rows -> bins) → reference (held-out rows, in counts) → drift (a window against the reference)
"""

"""One page on everything that sweeps hold.

May import: `runs`, `measures`, `claims`, `figures`, `tables`.
"""

"""From runs to numbers: a curve a point, one number a run, one number a pair of runs.

May import: words, `statistics`, `runs`.
"""

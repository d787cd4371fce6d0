"""From runs to numbers: a curve a point, one number a run, one number a pair of runs.

May import: `statistics`, `runs`, `trainer.errors`, `trainer.keys`.
"""

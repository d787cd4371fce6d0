"""A paper's claims as data, and their verdicts: paired runs, the decision, and how it is told.

May import: `statistics`, `runs`, `measures`, `trainer.errors`, `trainer.files`.
"""

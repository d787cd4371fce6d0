"""The commands on results.

May import: everything in `analysis`, `trainer.errors`, `trainer.files`.
"""

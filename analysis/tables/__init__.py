"""What runs came to, as tables.

May import: `statistics`, `runs`, `measures`, `figures`, `paper`, `trainer.keys`.
"""

"""What runs came to, as tables.

May import: words, `statistics`, `paper`, `runs`, `measures`, `figures`.
"""

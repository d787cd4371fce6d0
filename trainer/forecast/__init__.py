"""What a trial will need: sizes, memory, operations and time, from a configuration alone.

May import: words, `config`, `policy`.
"""

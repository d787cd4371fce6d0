"""What a run will need: sizes, memory, operations and time from a configuration, without its weights.

May import: words, `config`, `policy`.
"""

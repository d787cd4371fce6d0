"""Several processes as one: who starts them, the group that they form, the commands of rank 0.

May import: words, `config`.
"""

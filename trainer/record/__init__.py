"""What a trial writes: its directory, samples and checkpoints, who it is and where it ran.

May import: words, `config`, `tasks`.
"""

"""The base model that a trial starts from: given by a path, or a toy that is trained once and kept.

May import: words, `config`, `policy`, `tasks`, `record`, `generators`.
"""

"""The base model that a run starts from: given by a path, or a toy that is trained once and kept.

May import: words, `config`, `tasks`, `policy`, `generators`, `record`.
"""

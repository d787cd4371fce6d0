"""The base model that a trial starts from: a given one, or one that is trained once and kept.

May import: words, `config`, `policy`, `tasks`, `record`, `pretrained`, `generators`.
"""

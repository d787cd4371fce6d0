"""MLflow, of which nothing else in the trainer writes: stores, and the runs there that mirror directories.

May import: words, `config`, `record`.
"""

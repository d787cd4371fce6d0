"""MLflow, to which nothing else writes: stores, and the runs there that mirror directories.

May import: words, `config`, `record`.
"""

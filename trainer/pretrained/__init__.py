"""From a published package to a model's folder: taken, checked against its record, converted, written whole.

The records are `trainer.config.pretrained`.

May import: words, `config`, `record`.
"""

"""The network and its tokens: models, attention, prompts, packing, log-probabilities.

May import: words, `config`.
"""

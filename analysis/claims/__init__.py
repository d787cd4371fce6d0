"""Claims as data, and their verdicts: paired runs, the decision, how it is told; comparisons of one's own.

May import: words, `statistics`, `runs`, `measures`.
"""

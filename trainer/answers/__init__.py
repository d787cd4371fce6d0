"""Is this answer right: boxes, and the processes that compare mathematical answers and can be killed.

May import: words.
"""

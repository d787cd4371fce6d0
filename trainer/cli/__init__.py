"""The commands of one run, and how they show it: nothing here can change a number.

May import: words, all other wings, the life of a run.
"""

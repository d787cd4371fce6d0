"""Tests, intervals and estimators on plain arrays.

May import: nothing.
"""

"""Sampling without `generate`: a decoder's arithmetic on plain tensors, rows that come and go, one seed a response.

May import: words, `config`, `policy`.
"""

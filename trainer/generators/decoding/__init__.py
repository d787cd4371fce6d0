"""Decoding without `generate`: a decoder's arithmetic on plain tensors, rows that come and go, a seed a response."""

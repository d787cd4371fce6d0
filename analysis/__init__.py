"""From runs to statements: reads the trials of a sweep from MLflow and draws them.

Importing this package, or any module in it, loads no torch, ray, vllm or transformers: a laptop without them redraws
every figure from a store or a copy of one.
"""

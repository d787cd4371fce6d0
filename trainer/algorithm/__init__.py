"""What distinguishes one method from another: credit, mini-batches and losses, as pure functions.

May import: words, `config`.
"""

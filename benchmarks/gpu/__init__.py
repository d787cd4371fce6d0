"""`make gpu-report`: what the trainer does on a card, in parts that each fit into a minute or two of one.

`report` runs them, the most wanted first, each a process of its own that keeps what it has measured as JSON; `page`
makes docs/gpu.md of that. Nothing here needs a network. Parts import what they need and no more: one that lacks a
package says so and is left out. With ``--device cpu --tiny`` all of them run on a processor, which shows that they run.
"""

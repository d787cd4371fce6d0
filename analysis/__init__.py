"""From runs to statements: reads what trials logged, draws it, compares it, judges a paper's claims on it.

Importing this package loads no torch, ray, vllm or transformers: a laptop without them redraws every figure from a
store or a copy of one. What a notebook or a script may import from here is in docs/python.md:

    from analysis import open_study
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.claims.compare import PairedDifference
    from analysis.study import Study, open_study

__all__ = ["PairedDifference", "Study", "open_study"]


def __getattr__(name: str) -> Any:
    """The public names, on first use: help on the command line imports this package, too, and needs no pandas."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import analysis.study  # here for the reason above

    return getattr(analysis.study, name)

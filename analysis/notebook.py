"""Another name of `analysis`, by which notebooks have imported `open_study`. May import: `study`."""

from analysis.study import open_study

__all__ = ["open_study"]

"""What a curve can be drawn against. Imports nothing heavy, so that the command line can name the choices."""

from __future__ import annotations

from enum import StrEnum

from trainer import keys


class XAxis(StrEnum):
    """Training steps, or one of the costs that a run accumulates over training (evaluation costs nothing here)."""

    step = "step"
    generated_tokens = "generated_tokens"
    trained_tokens = "trained_tokens"
    wall_time = "wall_time"

    @property
    def key(self) -> str | None:
        """The cumulative metric that maps a run's steps to this axis; None for the step itself."""
        return {
            XAxis.step: None,
            XAxis.generated_tokens: keys.PERF_GENERATED_TOKENS,
            XAxis.trained_tokens: keys.PERF_TRAINED_TOKENS,
            XAxis.wall_time: keys.PERF_WALL_TIME,
        }[self]

    @property
    def label(self) -> str:
        """The axis title, with the unit."""
        return {
            XAxis.step: "training step",
            XAxis.generated_tokens: "generated tokens",
            XAxis.trained_tokens: "trained tokens",
            XAxis.wall_time: "training time (s)",
        }[self]

"""From a configuration to the parts of a trial, and what each further rank holds.

May import: words, `config`, `ranks`, `policy`, `tasks`, `generators`, `engines`.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer.config import TrialConfig
from trainer.engines import Engine
from trainer.generators import Generator
from trainer.tasks import Task
from trainer.tasks.order import ProblemOrder


@dataclass(frozen=True)
class Parts:
    """What a step needs besides its number."""

    config: TrialConfig
    task: Task
    order: ProblemOrder
    generator: Generator
    engine: Engine

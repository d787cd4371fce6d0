"""From a configuration to the parts of a run: engine, generator, task and order, and what each further rank holds.

May import: words, `config`, `tasks`, `algorithm`, `policy`, `generators`, `engines`, `ranks`.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer.config import RunConfig
from trainer.engines import Engine
from trainer.generators import Generator
from trainer.tasks import Task
from trainer.tasks.order import ProblemOrder


@dataclass(frozen=True)
class Parts:
    """What a step needs besides its number."""

    config: RunConfig
    task: Task
    order: ProblemOrder
    generator: Generator
    engine: Engine

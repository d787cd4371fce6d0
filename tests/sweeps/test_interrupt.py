"""A sweep that was stopped or killed in the middle ends, by the same command, with the bits of an undisturbed one."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sweeps.ledger import Row, Standing, read_ledger
from trainer import keys
from trainer.record import TrialRecord
from trainer.store import default_uri


STEPS = 60
OVERRIDES = [*SECOND_LONG, f"trainer.steps={STEPS}", "trainer.checkpoint_every=7", "evaluation.every=20"]
TIMEOUT_S = 240

Start = Callable[..., subprocess.Popen[str]]

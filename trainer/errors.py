"""What ends a trial, or keeps one from beginning, and is nobody's bug. Imports without torch."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence


class ConfigError(ValueError):
    """What a user wrote cannot be run; the text says what is wrong, where, and what to write instead."""


class MissingError(ConfigError):
    """What a user wrote is right, but this machine lacks it: a model, a data set, a package. A dry run goes on."""


class DivergedError(ArithmeticError):
    """A loss, a gradient or, after the update, a weight is not finite: there is nothing left to train."""


def nearest(word: str, candidates: Sequence[str], most: int = 1) -> str:
    """`` (did you mean 'x'?)`` for the candidates nearest to `word`, ``'x' or 'y'``; nothing where none is near."""
    best = difflib.get_close_matches(word, candidates, n=most, cutoff=0.5)
    if not best:  # a bare name written without its section: lr for optim.lr, grad_norm for actor/grad_norm
        best = [candidate for candidate in candidates if re.split("[./]", candidate)[-1] == word][:most]
    return f" (did you mean {' or '.join(map(repr, best))}?)" if best else ""

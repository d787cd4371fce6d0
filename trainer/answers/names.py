r"""Names on the left of an equation: x, f(x), x_{\max}, dx/dt, Area. Pure."""

from __future__ import annotations

import re

from trainer.answers.words import is_word

_NAME = re.compile(
    r"(?:\\?[a-zA-Z]+|\\(?:text|mathrm)\{[^{}]*\})(?:\s*_\s*(?:\{[^{}]*\}|\w|\\[a-z]+))?'*(?:\s*\^\s*\{?-1\}?)?(?:\s*\([^()+*/^-]*\))?"
    r"|\([a-zA-Z](?:_\{?\w\}?)?(?:, ?[a-zA-Z](?:_\{?\w\}?)?)+\)"
)
_DERIVATIVE = re.compile(
    r"\\frac\{ ?d(?: ?\^ ?\{?(\d)\}?)? ?([a-zA-Z](?:_\{?\w+\}?)?) ?\}\{ ?d ?[a-zA-Z] ?(?:\^ ?\{?\d\}?)? ?\}"
)


def is_name(text: str) -> bool:
    text = text.strip()
    if _DERIVATIVE.fullmatch(text) or re.fullmatch(r"m?\s*\\angle\s*[\w ]+", text):
        return True
    if _NAME.fullmatch(text) is None or text in (r"\pi", "e", "i", r"\infty", r"\emptyset"):
        return False
    return len(text) < 3 or re.search(r"[\\(_'^]", text) is not None or is_word(text) or text.isupper()


def name_of(text: str) -> str:
    """A name as it is compared: dx/dt, x' and a dotted x are one."""
    text = re.sub(r"\\d(d?)ot\s*\{?\s*([a-zA-Z])\s*\}?", lambda found: found[2] + "'" * (1 + len(found[1])), text)
    if derivative := _DERIVATIVE.fullmatch(text.strip()):
        return derivative[2] + "'" * int(derivative[1] or 1)
    return re.sub(r"\\text|\\mathrm|[\s{}]", "", text)

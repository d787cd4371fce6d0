r"""From LaTeX to a SymPy expression, by Math-Verify's parser, and what it has to be told to read what stands there.

Imported only by the process that compares answers: SymPy takes a second to load.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import sympy
from latex2sympy2_extended import latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig
from sympy.core.function import AppliedUndef

from trainer.answers.words import is_word

# The parser takes \gamma for a function, so that \gamma + 1 is 1, and E for a number, so that E_1 is nothing.
_RENAMED = ((re.compile(r"\\gamma(?![a-zA-Z])"), r"\\varpi "), (re.compile(r"(?<![a-zA-Z\\])E(?=_)"), r"\\Xi "))
_MATRIX = r"\\begin{bmatrix}\1\\end{bmatrix}"
_FUNCTION = r"(\\(?:sin|cos|tan|cot|sec|csc|ln)(?:\s*\^\s*(?:\d|\{[^{}]*\}))?)"
_SPELLED: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"\\(?:text|mathrm)\s*\{\s*([A-Za-z])\s*\}"), r"\1"),
    (re.compile(r"\\(?:text|mathrm)\s*\{\s*([A-Za-z]{1,3})\s*\}"), r" \1 "),
    (re.compile(r"\\mathrm(?=\s*\{)"), r"\\text"),
    (re.compile(r"(?<![a-zA-Z\\{])([A-Za-z]{4,})(?![a-zA-Z])"), lambda found: _word(found[0])),
    # A letter before a bracket is a function to the parser, also in n (n)^{1/2}; with a blank between it is a factor.
    (re.compile(r"(?<![a-zA-Z\\])([a-eijk-tw-zA-EI-OQ-Z])\s+\("), r"\1 \\cdot ("),
    (re.compile(r"\\lg(?![a-z])"), r"\\log_{10} "),
    (re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)\s*\{"), lambda found: found[0][:-1] + " {"),
    (re.compile(r"_\s*(\\[a-zA-Z]+|[a-zA-Z0-9])"), r"_{\1}"),
    (re.compile(r"_\{\s*\\(?:text|mathrm)\s*\{([^{}]*)\}\s*\}"), r"_{\1}"),
    (re.compile(r"_\{\s*\\([a-z]+)\s*\}"), r"_{\1}"),
    (re.compile(r"\^\s*(-\s*(?:\d+|[a-zA-Z]))(?![\d.])"), r"^{\1}"),
    (re.compile(r"\\(ln|log)\s*\|([^|]*)\|"), r"\\\1 (|\2|)"),
    (re.compile(r"\\d(d?)ot\s*\{?\s*(\\?[A-Za-z]+)\s*\}?\s*_\s*\{?(\w+)\}?"),
     lambda found: f"{found[2]}_{{{found[3]}{'p' * (1 + len(found[1]))}}}"),
    (re.compile(r"\\d(d?)ot\s*\{?\s*(\\?[A-Za-z]+)\s*\}?"), lambda found: found[2] + "'" * (1 + len(found[1]))),
    (re.compile(r"\\frac\{ ?d ?([a-zA-Z]) ?\}\{ ?d ?[a-z] ?\}"), r"\1'"),
    (re.compile(r"([A-Za-z])('+)"), lambda found: f"{found[1]}_{{{'p' * len(found[2])}}}"),
    (re.compile(r"\^\\circ(?![a-z])"), r" \\cdot \\frac{\\pi}{180}"),
    (re.compile(r"(\d)\s*%"), r"\1 \\cdot \\frac{1}{100}"),
    (re.compile(r"[\[(]?\s*\\begin\{array\}\s*\{[lcr| ]*\}(.*?)\\end\{array\}\s*[\])]?", re.DOTALL), _MATRIX),
    (re.compile(r"\\div(?![a-z])"), "/"),
    (re.compile(r"\)\s*\("), r")\\cdot ("),
    (re.compile(_FUNCTION + r"\s*(\\[a-z]+|[a-zA-Z](?![a-zA-Z]))\s+\("), r"\1(\2) \\cdot ("),
    (re.compile(r"\\approx(?![a-z])"), "="),
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
)  # fmt: skip
# A subscript on a number, which the parser drops, and exponents that nobody asks for.
_TOO_MUCH = re.compile(r"\d\s*_|\^\s*\{?\s*[+-]?\s*\d{6,}|!\s*!|\d{6,}\s*!")
_CONFIG = ConversionConfig(lowercase_symbols=False)


class UnreadableError(ValueError):
    """The parser does not know what this says."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """`decimal`: a number in it was written with a point, and so may stand for one that has no last digit."""

    formula: sympy.Basic
    decimal: bool


@lru_cache(maxsize=4096)  # the n responses to a problem share their reference
def parsed(latex: str) -> Parsed:
    """The formula as an expression. Raises `UnreadableError` for what is none."""
    for pattern, replacement in (*_RENAMED, *_SPELLED):
        latex = pattern.sub(replacement, latex)
    if _TOO_MUCH.search(latex):
        raise UnreadableError(latex)
    try:
        found = latex2sympy(latex, normalization_config=None, conversion_config=_CONFIG)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # the parser raises what it likes
        raise UnreadableError(latex) from error
    if any(isinstance(part, sympy.MatrixBase | sympy.MatrixExpr) for part in sympy.preorder_traversal(found)):
        found = _worked_out(found)
    elif not isinstance(found, sympy.Expr) or found.has(sympy.zoo, sympy.nan):
        raise UnreadableError(latex)
    return Parsed(_plain(found), bool(found.atoms(sympy.Float)))


def _word(letters: str) -> str:
    """A word is one symbol, not the product of its letters."""
    return rf"\text{{{letters}}}" if is_word(letters) else letters


def _worked_out(found: sympy.Basic) -> sympy.ImmutableMatrix:
    """Sums and multiples of matrices as one. Raises `UnreadableError` for what SymPy leaves undone, an inverse."""
    done = found.doit()
    if not isinstance(done, sympy.MatrixBase):
        raise UnreadableError(str(found))
    return sympy.ImmutableMatrix(done)


def _plain(found: sympy.Expr) -> sympy.Expr:
    """With i as the imaginary unit, decimals as the fractions that they are, unknown functions as symbols."""
    found = found.replace(lambda part: isinstance(part, sympy.Float), lambda part: sympy.Rational(str(part)))
    unknown = found.atoms(AppliedUndef, sympy.Derivative)
    found = found.xreplace({part: sympy.Symbol(str(part)) for part in unknown})
    imaginary = [symbol for symbol in found.free_symbols if str(symbol) == "i"]
    return found.xreplace(dict.fromkeys(imaginary, sympy.I))

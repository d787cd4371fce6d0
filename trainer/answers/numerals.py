r"""Numbers in every notation that references and answers come in, read exactly: as fractions of integers. Pure.

    1,251   1 251   .5   1./3   4.5 \times 10^{33}   \frac{3}{4}   1\frac{4}{5}   0.1\overline{6}   0.(3)   52_8

What `trainer.answers.notation` writes is read here; `last_number` alone takes a text as a model wrote it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from trainer.answers.notation import group_end

MOST_EXPONENT = 2000  # of ten; a larger one is no number that anybody asks for, and takes the machine's time

_INTEGER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?: \d{3})+(?!\d)|\d+)"
_DECIMAL = rf"(?:{_INTEGER}(?:\.\d*)?|\.\d+)"
_PERIOD = r"(?:\d*\\(?:overline|bar|dot)\{\d+\}|\d*\(\d+\)|\d+ ?\\dots)"
_REPEATING = rf"(?:{_INTEGER}?\.{_PERIOD})"
_POWER = r"10 ?\^ ?(?:\{ ?[+-]? ?\d+ ?\}|[+-]?\d+)"
_SCIENTIFIC = rf"(?:{_DECIMAL} ?\\(?:times|cdot) ?{_POWER}|{_POWER}|{_DECIMAL}[eE][+-]?\d+)"
_SIGNED = rf"[+-]? ?(?:{_SCIENTIFIC}|{_REPEATING}|{_DECIMAL})"
_FRACTION = rf"(?:\\frac\{{ ?{_SIGNED} ?\}}\{{ ?{_SIGNED} ?\}}|{_DECIMAL} ?/ ?{_DECIMAL})"
_MIXED = rf"{_INTEGER} ?(?:\\frac\{{ ?\d+ ?\}}\{{ ?\d+ ?\}}|(?<=\d) \d+ ?/ ?\d+)"
_SUBSCRIPT = r"(?:\\text\{ ?[a-z]+ ?\}|\d+)"
_BASED = rf"(?:\( ?[0-9A-Fa-f]+ ?\)|[0-9]+|[0-9][0-9A-F]*)_ ?(?:\{{ ?{_SUBSCRIPT} ?\}}|{_SUBSCRIPT})"
NUMERAL = re.compile(
    rf"(?P<sign>[+-] ?)?(?:(?P<based>{_BASED})|(?P<mixed>{_MIXED})|(?P<fraction>{_FRACTION})|(?P<plain>{_SIGNED}))"
)

_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
          "eleven": 11, "twelve": 12, "sixteen": 16}  # fmt: skip
_NAMED = re.compile(
    r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?(?:[eE][+-]?\d+)?(?:\s?/\s?\d+(?![\d./]))?|(?<![\w.])-?\.\d+"
)


@dataclass(frozen=True, slots=True)
class Numeral:
    """A number as written. `decimal`: with a decimal point, so that it may stand for one that has no last digit.

    `base` is that of a numeral with a subscript, `digits` what stands before it; None and empty for any other.
    """

    value: Fraction
    decimal: bool = False
    base: int | None = None
    digits: str = ""


def numeral(text: str) -> Numeral | None:
    """The number that `text` is, outer brackets aside; None for anything else."""
    bare = _without_brackets(text.strip())
    if bare.startswith(("-(", "- (")) and bare.endswith(")"):
        bare = f"-{_without_brackets(bare.lstrip('- '))}"
    found = NUMERAL.fullmatch(bare)
    return _read(found) if found else None


def leading(text: str) -> tuple[Numeral, str] | None:
    """The number that `text` begins with, and what follows it; None where it begins with none, or runs on in one."""
    found = NUMERAL.match(text)
    if found is None or re.match(
        r"[\d_!]|[.,]\d|[ ]?(?:/ ?\d|\\(?:times|cdot|div|frac|sqrt|pm)|\^(?!\\circ))", text[found.end() :]
    ):
        return None
    read = _read(found)
    return None if read is None else (read, text[found.end() :])


def has_last_digit(value: Fraction) -> bool:
    """Whether a decimal says it exactly: 3/8 and not 1/3."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def last_number(text: str) -> str | None:
    """The last number that a response names, as it stands there, e.g. ``1,251`` or ``-3/4``; None if it names none."""
    found = None
    for found in _NAMED.finditer(text):  # noqa: B007  the last one is wanted
        pass
    return None if found is None else found[0]


def _without_brackets(text: str) -> str:
    while len(text) > 2 and (text[0], text[-1]) in (("(", ")"), ("{", "}")) and not re.search(r"[(){}].*_", text):
        inner = text[1:-1].strip()
        if "(" in inner and ")" in inner and inner.find(")") < inner.find("("):
            break
        text = inner
    return text


def _read(found: re.Match[str]) -> Numeral | None:
    try:
        read = _value(found)
    except (ZeroDivisionError, ValueError):  # 1/0; a digit that its base does not have; too many digits
        return None
    if not (found["sign"] or "").startswith("-"):
        return read
    return Numeral(-read.value, read.decimal, read.base, f"-{read.digits}" if read.digits else "")


def _value(found: re.Match[str]) -> Numeral:
    if based := found["based"]:
        return _based(based)
    if mixed := found["mixed"]:
        whole, over, under = re.fullmatch(
            rf"({_INTEGER}) ?(?:\\frac\{{)? ?(\d+) ?(?:\}}\{{|/) ?(\d+) ?\}}?", mixed
        ).groups()  # type: ignore[union-attr]
        return Numeral(Fraction(_digits(whole)) + Fraction(int(over), int(under)))
    if fraction := found["fraction"]:
        over, under = (part.strip(" {}") for part in _halves(fraction))
        first, second = _plain(over), _plain(under)
        return Numeral(first.value / second.value)  # a fraction is meant exactly, 1./3 and 2.5/7 too
    return _plain(found["plain"])


def _halves(fraction: str) -> tuple[str, str]:
    if not fraction.startswith("\\frac"):
        over, _, under = fraction.partition("/")
        return over, under
    end = group_end(fraction, len(r"\frac"))
    if end is None:
        raise ValueError(fraction)
    return fraction[len(r"\frac{") : end - 1], fraction[end + 1 : -1]


def _plain(text: str) -> Numeral:
    text = text.strip()
    sign = -1 if text.startswith("-") else 1
    text = text.lstrip("+- ")
    if repeating := re.fullmatch(r"([^.]*)\.(\d*)(?:\\[a-z]+\{(\d+)\}|\((\d+)\)|( ?\\dots))", text):
        return Numeral(sign * _repeating(repeating), decimal=repeating[5] is not None)
    exponent = 0
    if power := re.search(r"10 ?\^ ?\{? ?([+-]? ?\d+) ?\}?$|[eE]([+-]?\d+)$", text):
        exponent = int((power[1] or power[2]).replace(" ", ""))
        text = re.sub(r" ?\\(?:times|cdot) ?$", "", text[: power.start()]).strip() or "1"
    if abs(exponent) > MOST_EXPONENT:
        raise ValueError(text)
    return Numeral(sign * _digits(text) * Fraction(10) ** exponent, decimal="." in text)


def _digits(text: str) -> Fraction:
    return Fraction(text.replace(",", "").replace(" ", "").rstrip(".") or "0")


def _repeating(found: re.Match[str]) -> Fraction:
    r"""0.1\overline{6} is 1/6. Behind dots the last digits go on if they stand there thrice: 0.1666..., not 3.14..."""
    whole, fixed, period = found[1], found[2], found[3] or found[4]
    if period is None:
        again = re.fullmatch(r"(\d*?)(\d+?)\2{2,}", fixed)
        if again is None:
            return _digits(f"{whole or '0'}.{fixed}")
        fixed, period = again[1], again[2]
    scale = Fraction(10) ** len(fixed)
    return (
        _digits(whole or "0")
        + Fraction(int(fixed or "0")) / scale
        + Fraction(int(period), 10 ** len(period) - 1) / scale
    )


def _based(text: str) -> Numeral:
    digits, _, subscript = text.rpartition("_")
    digits = digits.strip(" ()")
    named = re.sub(r"\\text|[{} ]", "", subscript)
    base = _BASES.get(named) or int(named)
    if not 2 <= base <= 36:
        raise ValueError(text)
    return Numeral(Fraction(int(digits, base)), base=base, digits=digits.lstrip("0").upper() or "0")

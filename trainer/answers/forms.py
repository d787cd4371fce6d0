r"""A reference in other usual forms, and texts close to it that are not right. Pure.

A reference is fit to judge by only where the judge knows it again in another form: compared with its own text alone,
anything is right. `minrl data prepare` asks this of every reference.
"""

from __future__ import annotations

import re
from fractions import Fraction

from trainer.answers import Expects, Reference
from trainer.answers.names import name_of
from trainer.answers.notation import group_end, split_top
from trainer.answers.numerals import has_last_digit
from trainer.answers.reader import read
from trainer.answers.readings import (
    Both,
    Choice,
    Clock,
    Formula,
    Interval,
    Matrix,
    Named,
    Point,
    Quantity,
    Reading,
    Relation,
    Several,
    Union,
    Words,
)
from trainer.answers.statement import statement, two_forms

_COMMA = re.compile("[,;]")
_SUM = re.compile(r"(?<=[\w})!' ])\s*(?=[+-](?!\s*\\infty))")
_FRACTION = re.compile(r"\\frac\{")


def other_forms(reference: Reference) -> list[str]:
    """Texts that say what the reference says, none of them its own; at least two where it can be read."""
    text = _first(reference.text)
    readings = read(text, reference.expects is Expects.number)
    if not readings:
        return []
    if isinstance(readings[0], Formula):
        text = readings[0].latex  # without its unit
    found = [*_of(readings[0], text), f"${text}$", text.replace(r"\frac", r"\dfrac"), rf"\displaystyle {text}."]
    return list(dict.fromkeys(form for form in found if form != reference.text))


def near_misses(reference: Reference) -> list[str]:
    """Texts close to the reference that are wrong."""
    text = _first(reference.text)
    readings = read(text, reference.expects is Expects.number)
    if not readings:
        return []
    return _missed(readings[0], readings[0].latex if isinstance(readings[0], Formula) else text)


def _first(text: str) -> str:
    """What the reference says, in the first of two forms where it gives two."""
    return (*two_forms(text), statement(text))[0]


def _of(reading: Reading, text: str) -> list[str]:
    match reading:
        case Quantity():
            return _quantity(reading, text)
        case Clock():
            return [text.replace(":", " : "), re.sub(r"\s*([ap])\.?\s*m\.?", r" \1m", text, flags=re.IGNORECASE)]
        case Words():
            return [rf"\text{{{reading.text}}}", reading.text.upper() + "."]
        case Choice():
            return [f"({reading.letter})", rf"\text{{{reading.letter}}}", rf"\textbf{{({reading.letter})}}"]
        case Named():
            left, *_, right = _sides(text)
            value = right if name_of(left) == reading.name else left
            return [f"{right} = {left}", *([] if value.isupper() and len(value) > 1 else [value])]
        case Relation():
            left, *_, right = _sides(text)
            return [f"{right} {_sign(text)} {left}"] if reading.sign in ("=", r"\ne") else []
        case Interval() | Point():
            return [_bracketed(text)]
        case Matrix():
            return [text.replace("pmatrix", "bmatrix").replace(r"\\ ", r"\\")]
        case Union():
            return [r" \cup ".join(reversed(split_top(text, re.compile(r"\\cup"))))] if r"\cup" in text else []
        case Several():
            return _several(text)
        case Both():
            return []
    return _formula(text)


def _quantity(reading: Quantity, text: str) -> list[str]:
    numeral, value = reading.numeral, reading.numeral.value
    if numeral.base is not None:
        return [f"{numeral.digits}_{{{numeral.base}}}", f"({numeral.digits})_{numeral.base}"]
    forms = [_plain(value)]
    if value.denominator == 1:
        forms += [f"{value.numerator:,}", f"{value.numerator:,}".replace(",", "{,}"), f"{value.numerator}.0"]
    else:
        sign = "-" if value < 0 else ""
        forms += [
            rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}",
            f"{value.numerator}/{value.denominator}",
        ]
    if value and (abs(value) >= 10**4 or abs(value) < Fraction(1, 100)) and has_last_digit(value):
        forms += _scientific(value)
    if reading.unit is None:
        return [*forms, f"x = {forms[0]}"]
    return [*forms, text.replace(r"\text{", r"\mathrm{")]


def _plain(value: Fraction) -> str:
    """As a decimal where it has one."""
    if value.denominator == 1:
        return str(value.numerator)
    if not has_last_digit(value):
        return f"{value.numerator}/{value.denominator}"
    places = next(places for places in range(1, 5000) if (value * 10**places).denominator == 1)
    digits = str(abs(value.numerator * 10**places // value.denominator)).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def _scientific(value: Fraction) -> list[str]:
    exponent = 0
    size = abs(value)
    while size >= 10:
        size, exponent = size / 10, exponent + 1
    while size < 1:
        size, exponent = size * 10, exponent - 1
    mantissa = f"{'-' if value < 0 else ''}{_plain(size)}"
    return [rf"{mantissa} \times 10^{{{exponent}}}", rf"{mantissa}\cdot 10^{{{exponent}}}", f"{mantissa}e{exponent}"]


def _several(text: str) -> list[str]:
    inside = text[2:-2].strip() if text.startswith(r"\{") and text.endswith(r"\}") else text
    parts = [part for part in split_top(inside, _COMMA) if part]
    if len(parts) < 2 or re.search(r"=|\\text|[a-z]{2} ", inside):
        return []
    return [", ".join(reversed(parts)), r"\{" + ", ".join(parts) + r"\}", r" \text{ and } ".join(parts)]


def _bracketed(text: str) -> str:
    if text[:1] in "([" and text[-1:] in ")]":
        return rf"\left{text[0]} {text[1:-1]} \right{text[-1]}"
    return text.replace(r"\le ", r"\leq ").replace("<", r" \lt ")


def _sides(text: str) -> list[str]:
    return split_top(text, re.compile(r"=|\\ne(?![a-z])|\\le(?![a-z])|\\ge(?![a-z])|<|>|\\approx"))


def _sign(text: str) -> str:
    return r"\ne" if r"\ne" in text else "="


def _formula(text: str) -> list[str]:
    """Terms in another order; fractions by a slash; roots as powers; e to the power as exp."""
    forms = list[str]()
    terms = split_top(text, _SUM) if not re.search(r"\\(?:int|sum|lim|prod|pm|mod|dots)(?![a-z])", text) else [text]
    terms = [term for term in terms if term]
    if len(terms) > 1 and not text.startswith("|"):
        first, *others = reversed(terms)
        last = others.pop()
        forms.append(" ".join([first.removeprefix("+"), *others, last if last[0] in "+-" else f"+ {last}"]))
    slashed = _slashed(text)
    if slashed != text:
        forms.append(slashed)
    root = re.search(r"(?<![\w\\])\\sqrt\{", text)
    end = group_end(text, root.end() - 1) if root else None
    if root and end is not None:
        forms.append(f"{text[: root.start()]}({text[root.end() : end - 1]})^{{1/2}}{text[end:]}")
    return [*forms, rf"\left({text}\right)", rf"({text}) \cdot 1"]


def _slashed(text: str) -> str:
    found = _FRACTION.search(text)
    if found is None:
        return text
    end = group_end(text, found.end() - 1)
    if end is None or text[end : end + 1] != "{":
        return text
    last = group_end(text, end)
    if last is None:
        return text
    return f"{text[: found.start()]}(({text[found.end() : end - 1]})/({text[end + 1 : last - 1]})){text[last:]}"


def _missed(reading: Reading, text: str) -> list[str]:
    match reading:
        case Quantity():
            return _other_numbers(reading)
        case Clock():
            return [re.sub(r"\d+", lambda found: str(int(found[0]) + 1), text, count=1)]
        case Words():
            return [f"not {reading.text}", reading.text[::-1] if reading.text[::-1] != reading.text else "otherwise"]
        case Choice():
            return ["ABCDEFGHIJ"["ABCDEFGHIJ".index(reading.letter) - 1]]
        case Interval():
            return _other_interval(reading, text)
        case Several() | Point() | Matrix():
            changed = f"{text[:1]}{_more(text[1:])}" if text[:1] in "([" else f"{text}, 1234567"
            return [changed] if changed != text else []
        case Named() | Relation():
            left, *_, right = (*_sides(text), "")
            return [f"{left} = ({right}) + 1"] if _sign(text) == "=" and not _several(right) else []
        case Union():
            return []
    return [] if "infty" in text else [f"({text}) + 1", f"2 \\cdot ({text}) + 3"]


def _other_numbers(reading: Quantity) -> list[str]:
    value = reading.numeral.value
    if reading.numeral.base is not None:
        return [
            f"{reading.numeral.digits}0_{reading.numeral.base}",
            f"{reading.numeral.digits}_{reading.numeral.base + 1}",
        ]
    near = value * Fraction(1001, 1000) if value else Fraction(1, 10**9)
    return [_plain(value + 1), _plain(near), _plain(-value) if value else "1"]


def _other_interval(reading: Interval, text: str) -> list[str]:
    if text[:1] in "([" and text[-1:] in ")]" and reading.low is not None:
        return [("(" if text[0] == "[" else "[") + text[1:]]
    return []


def _more(text: str) -> str:
    found = re.search(r"\d+", text)
    return text if found is None else f"{text[: found.start()]}{int(found[0]) + 1}{text[found.end() :]}"

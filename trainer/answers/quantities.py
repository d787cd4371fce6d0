r"""Numbers with their units, times and ratios, as an answer writes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from trainer.answers import units
from trainer.answers.notation import without_text
from trainer.answers.numerals import Numeral, leading, numeral
from trainer.answers.readings import Clock, Quantity
from trainer.answers.words import is_word

_CLOCK = re.compile(
    r"(\d+(?:\.\d+)?)((?: ?: ?\d+(?:\.\d+)?){1,2}) ?(?:\\text\{ ?)?([ap]\.? ?m\.?)?[ }]*", re.IGNORECASE
)
_SIGN_OF_MONEY = re.compile(r"([+-]? ?)(\\\$|[€£¥₹]|(?:US|A|C)\\\$|Rs\.?)\s*")
_MAGNITUDES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_SMALL = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty"""
_TENS = "thirty forty fifty sixty seventy eighty ninety"
SPELLED = {name: number for number, name in enumerate(_SMALL.split())}
SPELLED |= {name: 10 * (number + 3) for number, name in enumerate(_TENS.split())}
_CHANGING = {"and", "or", "not", "no", "never", "nor", "than", "least", "most", "plus", "minus", "over", "if", "is",
             "pi", "half", "halves", "quarter", "quarters", "thirds", "tenth", "tenths", "hundredth", "hundredths",
             "thousandth", "thousandths", "less", "tens", "hundreds", "thousands", "score", "squared", "cubed", "out",
             *SPELLED}  # fmt: skip
_SPOKEN = re.compile(r"[b-df-hj-np-tv-z][aeiou][b-df-hj-np-tv-z]|egg|toy|ant|tea|pie|boy|eye|ear|inch")
_SHORT = {"a", "an", "is", "of", "in", "to", "at", "on", "he", "it", "we", "my", "by", "as", "so", "i", "s"}
_DENYING = {"wrong", "incorrect", "false", "except", "but"}
_JOINING = {"of", "per", "sq", "cu"}
_ORDINAL = re.compile(r"^(?:\^ ?\{?)? ?(?:\\(?:text|mathrm)\{ ?)?(?:st|nd|rd|th)(?![a-zA-Z])[ }]*")


def quantity(text: str, lenient: bool = False) -> Quantity | None:
    r"""A number with a unit or none: ``\$1,251.50``, ``864 \text{ inches}^2``, ``18 apples``, ``3.5 million``."""
    money = _SIGN_OF_MONEY.match(text)
    if money:
        sign = re.sub(r"^(?:US|A|C)|\.$", "", money[2])
        paid = quantity(money[1] + text[money.end() :])
        if paid is None or (paid.unit is not None and paid.unit != units.unit(sign)):
            return None
        return replace(paid, unit=units.unit(sign))
    whole = numeral(text)
    if whole is not None:
        return Quantity(whole)
    spelled = SPELLED.get(re.sub(r"\\text|[{}\s]", "", text).lower())
    if spelled is not None:
        return Quantity(Numeral(Fraction(spelled)))
    found = leading(text)
    if found is None:
        return None
    read, rest = found
    return _with_unit(read, rest, lenient)


def _with_unit(read: Numeral, rest: str, lenient: bool) -> Quantity | None:
    rest = _ORDINAL.sub("", rest)
    plain = without_text(rest)
    magnitude = re.match(r"\s*([a-zA-Z]+)\b\s*(.*)", plain, re.DOTALL)
    if magnitude and (times := _MAGNITUDES.get(magnitude[1].lower().removesuffix("s"))):
        scaled = Numeral(read.value * times, read.decimal)
        return Quantity(scaled) if not magnitude[2] else _with_unit(scaled, " " + magnitude[2], lenient)
    words = re.findall(r"[A-Za-z]+", re.sub(r"\\(?:text|mathrm|circ|cdot|times|mu|Omega)(?![a-z])", " ", rest))
    if any(word.lower() in _CHANGING for word in words) or re.search(
        r"[=<>+|!_&@]|\\(?!text|mathrm|circ|cdot|times|mu|Omega|\$)", rest
    ):
        return None
    if _is_formula(rest) if lenient else _may_be_symbols(rest):
        return None
    found = units.unit(rest)
    return None if found is None else Quantity(read, found if found.dimensions else None)


def in_a_sentence(text: str) -> Quantity | None:
    """The one number that a sentence names: Janet makes 18 dollars a day; None where it names more, or changes it."""
    plain = without_text(text).replace(r"\$", " ")
    numbers = re.findall(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:/\d+)?(?![\w.]*\d)", plain)
    words = re.findall(r"[a-z]+", plain.lower())
    if sum(len(word) > 2 for word in words) < 2 or any(len(word) < 3 and word not in _SHORT for word in words):
        return None
    changed = (_CHANGING - {"is"} | _DENYING) & set(words) or re.search(r"[=+*^_<>\\|]|\d\s*[-:]", plain)
    if len(numbers) != 1 or changed:
        return None
    found = numeral(numbers[0].rstrip(","))
    return None if found is None else Quantity(found)


def _may_be_symbols(rest: str) -> bool:
    r"""Whether what follows a number may be a product of variables: 5m, 2 n k, 6 ab; not 5 cm, 5 \text{ m}."""
    bare = re.sub(r"\\(?:text|mathrm)\s*\{[^{}]*\}", " ", rest).strip()
    if not bare or re.fullmatch(r"[%]|\^\\circ ?[CFK]?|[\^{}\d\s/]+", bare):
        return False
    words = re.findall(r"[A-Za-z]+", bare)
    if all(units.known(word) for word in words) and any(len(word) > 2 for word in words):  # miles/s
        return False
    short = [word for word in words if len(word) < 3 and word not in _JOINING]
    return any(len(word) == 1 or not units.known(word) for word in short) or _is_product(words)


def _is_formula(rest: str) -> bool:
    """Whether what follows a number is no unit even where one is expected: 2abc for 2 is no answer, 2 cars is one."""
    bare = re.sub(r"\\(?:text|mathrm)\s*\{[^{}]*\}|\\[a-zA-Z]+", " ", rest)
    return _is_product([word for word in re.findall(r"[A-Za-z]+", bare) if not _SPOKEN.fullmatch(word)])


def _is_product(words: Sequence[str]) -> bool:
    """Whether some are no words of a language, and so letters that are multiplied."""
    return any(not is_word(word) and not units.known(word) and word not in _JOINING for word in words)


def clock(text: str) -> Clock | None:
    found = _CLOCK.fullmatch(re.sub(r"(\d) (?:\\text\{ ?)?to ?\}? (\d)", r"\1:\2", text))
    if found is None:
        return None
    parts = [found[1], *re.findall(r"\d+(?:\.\d+)?", found[2])]
    return Clock(tuple(Fraction(part) for part in parts), re.sub(r"[^apm]", "", (found[3] or "").lower()))

r"""Units of measurement as answers write them, told apart and converted exactly. Pure.

A table of our own, because an answer's unit is a matter of spelling (``\text{ in}^2``, sq. inches, miles per hour) and
of exactness: packages for units calculate in floating point, and 0.1 of an inch has to be 0.00254 m. A word that the
table does not know is a unit of its own: 5 apples are not 5 oranges, where the reference says apples.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from trainer.answers.notation import without_text

# name: dimension and factor, then every spelling. Factors are exact by definition of the units.
_TABLE = """
length 1: m meter metre
length 1/100: cm centimeter centimetre
length 1/1000: mm millimeter millimetre
length 1/10: dm decimeter decimetre
length 1000: km kilometer kilometre
length 1/1000000: μm um micrometer micrometre micron
length 1/1000000000: nm nanometer nanometre
length 1/10000000000: angstrom
length 254/10000: in inch
length 3048/10000: ft foot feet
length 9144/10000: yd yard
length 1609344/1000: mi mile
mass 1/1000: g gm gram gramme
mass 1: kg kilogram kilo kilogramme
mass 1/1000000: mg milligram
mass 1000: tonne
mass 45359237/100000000: lb pound
mass 45359237/1600000000: oz ounce
time 1: s sec second
time 60: min minute
time 3600: h hr hour
time 86400: day
time 604800: week
time 1/1000: ms millisecond
time 1/1000000: μs us microsecond
time 1/1000000000: ns nanosecond
month 1: month mo
month 12: yr year
volume 1/1000: L l liter litre
volume 1/1000000: mL ml milliliter millilitre cc
volume 473176473/1000000000000: pt pint
volume 946352946/1000000000000: qt quart
volume 3785411784/1000000000000: gal gallon
force 1: N newton
energy 1: J joule
energy 1000: kJ kilojoule
power 1: W watt
power 1000: kW kilowatt
charge 1: C coulomb
current 1: A amp ampere
potential 1: V volt
resistance 1: Ω ohm
frequency 1: Hz hertz
frequency 1000000: MHz megahertz
pressure 1: Pa pascal
temperature 1: K kelvin
dollar 1: $ dollar usd buck
dollar 1/100: cent ¢
euro 1: € euro eur
sterling 1: £ gbp
rupee 1: ₹ rs rupee
yen 1: ¥ yen
degree 1: ° degree deg
degree 1/60: arcminute
degree 1/3600: arcsecond
radian 1: rad radian
part 1/100: % percent
mole 1: mol mole
length 1 / time 1: mps
length 1609344/1000 / time 3600: mph
length 1000 / time 3600: kph kmph
"""
SINGULAR = {"feet": "foot", "inches": "inch", "men": "man", "women": "woman", "children": "child", "people": "person",
            "mice": "mouse", "geese": "goose", "teeth": "tooth", "leaves": "leaf", "loaves": "loaf", "halves": "half",
            "shelves": "shelf", "knives": "knife", "wolves": "wolf", "pence": "penny", "hertz": "hertz"}  # fmt: skip
_SHORT = re.compile(r"^(?:[A-Za-zμΩ]{1,2}|min|mol|sec|yd|gal|mph|km|kph|kmph|rad|deg|Hz|MHz)$")
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}


@dataclass(frozen=True, slots=True)
class Unit:
    """Powers of dimensions, in their order, and the factor from this unit to their own. No dimension: a bare number."""

    dimensions: tuple[tuple[str, int], ...]
    factor: Fraction = Fraction(1)

    @property
    def is_part(self) -> bool:
        return self.dimensions == (("part", 1),)

    @property
    def is_degree(self) -> bool:
        return self.dimensions == (("degree", 1),)

    def is_part_of(self, other: Unit) -> bool:
        """Whether one says in fewer words of one's own what the other says: 7 boxes, and 7 boxes of pens."""
        mine, theirs = set(self.dimensions), set(other.dimensions)
        return (mine <= theirs or theirs <= mine) and not any(name in _MEASURED for name, _ in mine | theirs)


PERCENT = Unit((("part", 1),), Fraction(1, 100))
DEGREE = Unit((("degree", 1),))


def known(word: str) -> bool:
    """Whether `word` is a unit's name or sign."""
    return word in _SPELLINGS or _singular(word) in _SPELLINGS


@lru_cache(maxsize=4096)
def unit(text: str) -> Unit | None:
    r"""The unit that `text` names, as `notation.clean` leaves it; None where it is none: a formula, or a sentence."""
    text = without_text(text)
    text = text.replace(r"\$", "$").replace(r"^\circ", "°").replace(r"\cdot", " ").replace(r"\times", " ")
    text = re.sub(r"\\mu\s*", "μ", text).replace(r"\Omega", "Ω").replace("%", " % ").replace("°", " ° ")
    text = re.sub(r"\bper\b", "/", text).strip(" .()")
    over, *under = text.split("/")
    powers: dict[str, int] = {}
    factor = Fraction(1)
    for sign, part in [(1, over), *((-1, part) for part in under)]:
        read = _product(part)
        if read is None or (sign < 0 and not read):
            return None
        for dimension, each, power in read:
            powers[dimension] = powers.get(dimension, 0) + sign * power
            factor *= each ** (sign * power)
    if abs(powers.get("part", 0)) > 1:  # 5%% says nothing
        return None
    dimensions = tuple(sorted((name, power) for name, power in _base(powers).items() if power))
    return Unit(dimensions, factor)


def _base(powers: dict[str, int]) -> dict[str, int]:
    """A volume is a length cubed, so that cubic centimetres are millilitres."""
    volume = powers.pop("volume", 0)
    return powers | {"length": powers.get("length", 0) + 3 * volume} if volume else powers


def _product(text: str) -> list[tuple[str, Fraction, int]] | None:
    """Dimension, factor and power of each word. A power stands behind (cm^2, feet squared) or before (square feet)."""
    read = list[tuple[str, Fraction, int]]()
    before = 1
    for word in re.findall(r"[^\s^-]+(?:\^-?\d)?|\^\S*", re.sub(r"\s*\^\s*\{?\s*(-?\d)\s*\}?", r"^\1", text)):
        name, _, power = word.strip(".,;:()").partition("^")
        if (not name and not power) or name.lower() == "of":
            continue
        if (spoken := _POWERS.get(name.lower())) and not power:
            if name.lower().endswith("ed") and read:
                read[-1] = (*read[-1][:2], spoken)
            else:
                before = spoken
            continue
        if name.lower() in ("degree", "degrees", "°") and read:
            return None
        if not re.fullmatch(r"[^\W\d_]+|[$€£¥₹%°¢]", name) or (power and not re.fullmatch(r"-?\d", power)):
            return None
        found = _SPELLINGS.get(name) or _SPELLINGS.get(_singular(name))
        for dimension, factor, times in found or [(_singular(name), Fraction(1), 1)]:
            read.append((dimension, factor, times * (int(power) if power else before)))
        before = 1
    return read


def _singular(word: str) -> str:
    word = word.lower()
    if word in SINGULAR:
        return SINGULAR[word]
    for ending, singular in (("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"), ("xes", "x"), ("oes", "o")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word.removesuffix(ending) + singular
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def _spellings() -> dict[str, list[tuple[str, Fraction, int]]]:
    read: dict[str, list[tuple[str, Fraction, int]]] = {}
    for line in _TABLE.strip().splitlines():
        meaning, _, words = line.partition(": ")
        parts = list[tuple[str, Fraction, int]]()
        for power, part in zip((1, -1), meaning.split(" / "), strict=False):
            dimension, factor = part.split(" ")
            parts.append((dimension, Fraction(factor), power))
        for word in words.split(" "):
            read[word] = parts
            if not _SHORT.match(word):
                read[word.lower()] = parts
    return read


_SPELLINGS = _spellings()
_MEASURED = {dimension for parts in _SPELLINGS.values() for dimension, _, _ in parts}

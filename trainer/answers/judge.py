"""The question itself: is this answer right, given the reference and what was asked for? Imports SymPy.

Run by `trainer.answers.worker`, in a process that can be killed: a formula can ask for any amount of work.
"""

from __future__ import annotations

import re
from functools import lru_cache

from trainer.answers import Expects, Reference, formulas
from trainer.answers.boxed import last_boxed
from trainer.answers.compare import same
from trainer.answers.compare_numbers import Slack
from trainer.answers.latex import UnreadableError
from trainer.answers.notation import clean
from trainer.answers.quantities import in_a_sentence
from trainer.answers.reader import read, read_reference
from trainer.answers.readings import (
    Both,
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
from trainer.rollout import Verdict

_WORD = re.compile(r"(?<![a-zA-Z\\{])[a-zA-Z]{4,}")  # two in a formula make it a sentence
MOST_WORDS = 6  # of an answer in words; more are a sentence, which nobody repeats as it stands

# A sum, difference, product or quotient of numbers that was left to the reader: 2+3, 4*5, 100 \div 4.
_ARITHMETIC = re.compile(r"(?:[\d.,+\-/()\[\]{}\s]|\\(?:times|cdot|div|frac)(?![a-z]))+")


def judge(reference: Reference, answer: str) -> Verdict:
    """correct, wrong, or unparsable: an answer that says nothing which could be compared."""
    answers = _answers(reference, last_boxed(answer) or answer)  # models box what they have boxed
    slack = Slack.of(reference.tolerance)
    verdicts = set[Verdict]()
    for right in _references(reference.text, reference.expects is Expects.number):
        for given in answers:
            verdicts.add(_verdict(reference, right, given, slack))
            if Verdict.correct in verdicts:
                return Verdict.correct
    return Verdict.wrong if Verdict.wrong in verdicts else Verdict.unparsable


def _answers(reference: Reference, text: str) -> tuple[Reading, ...]:
    """Of a word problem's answer, where nothing else is read from it, the one number that it names in a sentence."""
    readings = _read(text, _wants_number(reference))
    number = any(isinstance(each, Quantity) for each in _references(reference.text, True))
    if reference.expects is not Expects.number or not number:
        return readings
    if any(isinstance(_bare(each), Quantity | Clock) for each in readings):
        return readings
    spoken = in_a_sentence(clean(text))
    return readings if spoken is None else (spoken,)


def can_judge(reference: Reference) -> bool:
    """Whether another text than its own could be found equal to it. Raises ValueError for a tolerance that is none."""
    Slack.of(reference.tolerance)
    readings = _references(reference.text, reference.expects is Expects.number)
    if reference.expects is Expects.number and not any(isinstance(each, Quantity | Clock | Words) for each in readings):
        return False
    return any(_is_readable(each) for each in readings)


def _is_readable(reading: Reading) -> bool:
    """Whether every formula in it can be read, and words are an answer and not a sentence."""
    match reading:
        case Words():
            return len(reading.text.split()) <= MOST_WORDS
        case Formula():
            return len(_WORD.findall(reading.latex)) < 2 and formulas.is_readable(reading.latex)
        case Relation():
            return formulas.is_readable(reading.right) or all(map(_is_readable, _read(reading.right)))
        case Named():
            return _is_readable(reading.value)
        case Several() | Point():
            return bool(reading.items) and all(_is_readable(item) for item in reading.items)
        case Union() | Both():
            return all(_is_readable(part) for part in reading.parts)
        case Interval():
            return all(end is None or _is_readable(end) for end in (reading.low, reading.high))
        case Matrix():
            return all(_is_readable(cell) for row in reading.rows for cell in row)
    return True


@lru_cache(maxsize=4096)  # the n responses to a problem share their reference
def _read(text: str, lenient: bool = False) -> tuple[Reading, ...]:
    return tuple(read(text, lenient))


@lru_cache(maxsize=4096)
def _references(text: str, lenient: bool = False) -> tuple[Reading, ...]:
    return tuple(read_reference(text, lenient))


def _wants_number(reference: Reference) -> bool:
    if reference.expects is Expects.number:
        return True
    readings = _read(reference.text)
    return bool(readings) and isinstance(readings[0], Quantity)


def _verdict(reference: Reference, right: Reading, given: Reading, slack: Slack) -> Verdict:
    given_value = _bare(given)
    if (
        isinstance(_bare(right), Quantity)
        and isinstance(given_value, Formula)
        and _is_no_number(reference, given_value)
    ):
        return Verdict.wrong if formulas.is_readable(given_value.latex) else Verdict.unparsable
    try:
        if isinstance(given_value, Formula) and _asks_for_more(right, given_value):
            return Verdict.wrong
        return Verdict.correct if same(right, given, slack) else Verdict.wrong
    except UnreadableError:
        return Verdict.unparsable


def _is_no_number(reference: Reference, given: Formula) -> bool:
    """Whether a formula is no answer where the reference is a number: any for a bare number, arithmetic for every."""
    return reference.expects is Expects.number or _ARITHMETIC.fullmatch(given.latex) is not None


def _bare(reading: Reading) -> Reading:
    """What a name stands for: of x = 5 the 5."""
    value = getattr(reading, "value", None)
    return reading if value is None else _bare(value)


def _asks_for_more(right: Reading, given: Formula) -> bool:
    """An integral or a sum is no answer, unless the reference holds one, too."""
    if not re.search(r"\\(?:int|sum|prod|lim)(?![a-z])", given.latex) or not formulas.is_unevaluated(given.latex):
        return False
    bare = _bare(right)
    return not (isinstance(bare, Formula) and formulas.is_unevaluated(bare.latex))

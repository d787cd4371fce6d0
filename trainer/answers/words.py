r"""Answers in words, and letters of multiple-choice questions: told apart from products of variables. Pure."""

from __future__ import annotations

import re

from trainer.answers.notation import without_text
from trainer.answers.readings import Choice, Interval, Words

_CHOICE = re.compile(
    r"\\(?:text|mathrm)\{\s*\(?\s*([A-J])\s*[).:]?\s*\}(.*)|\\text\{\s*\(([A-J])\)(.*)\}"
    r"|\(\s*([A-J])\s*\)(.*)|([A-J])(?:\s*[).:]\s*(.*))?",
    re.DOTALL,
)
_OTHER_CHOICE = re.compile(r"(?<![A-Za-z\\])(?:[A-J]|and|or|not|nor|wrong|incorrect|false)(?![A-Za-z])|\\ne(?![a-z])")
_EVERYTHING = {r"\mathbb{R}", r"(-\infty,\infty)", "allrealnumbers", "allreals", "realnumbers", "allrealnumber"}
_SAID = {
    **dict.fromkeys(("no real solution", "no solutions", "none", "empty set", "inconsistent"), "no solution"),
    "convergent": "converges",
    "divergent": "diverges",
    **dict.fromkeys(("dne", "undefined"), "does not exist"),
    "true": "yes",
    "false": "no",
}
_DENIED = {"not", "never", "neither", "nor", "or", "no", "isnt", "arent", "doesnt", "but", "except", "than"}
_SAYING = {"is", "are", "has", "have", "series", "sequence", "function", "system", "equation", "it", "was", "integral"}
_WORDS_OF_TWO = {"no", "up", "on", "in", "at", "he", "it"}
_VOWELS = re.compile(r"[aeiouy]")


def choice(text: str) -> Choice | None:
    found = _CHOICE.fullmatch(text)
    if found is None:
        return None
    letter, rest = next((found[at], found[at + 1] or "") for at in (1, 3, 5, 7) if found[at])
    if rest.strip() and (re.match(r"\s*[\^_+\-*/=(\[{,;]", rest) or _OTHER_CHOICE.search(rest)):
        return None
    return Choice(letter, found[7] is None, rest)


def everything(text: str) -> Interval | None:
    found = re.sub(r"\\text|[{}\s]", "", text).lower()
    said = text.replace(" ", "") if "\\" in text else found
    return Interval(None, None, (False, False)) if said in _EVERYTHING or found in _EVERYTHING else None


def words(text: str) -> Words | None:
    r"""A text in words: what stands in ``\text{}``, and what cannot be a product of letters."""
    if text.lower() in _SAID:
        return Words(_SAID[text.lower()])
    if text == r"\emptyset" or text == r"\{\}" or re.fullmatch(r"\\\{\s*\\\}", text):
        return Words("no solution")
    plain = without_text(text)
    if (
        re.search(r"[\\=<>^_|+*/]|\d\s*[-]", plain)
        or not re.search(r"[A-Za-z]", plain)
        or re.match(r"\s*[+-]?\s*[\d.(\[]", plain)
    ):
        return None
    words = re.findall(r"[A-Za-z][A-Za-z'.]*", plain)
    if not (r"\text" in text and len("".join(words)) > 1) and not any(is_word(word.strip(".'")) for word in words):
        return None
    said = spoken(plain)
    return Words(_SAID.get(said, said)) if said else None


def same_words(reference: str, answer: str) -> bool:
    """Also where the answer says it in a sentence: the series converges, yes he does."""
    if reference == answer:
        return True
    said = answer.split()
    if not said or _DENIED & set(said) - set(reference.split()):
        return False
    if reference in ("yes", "no"):
        return said[0] == reference
    before = set(answer.removesuffix(f" {reference}").split())
    if not answer.endswith(f" {reference}") or len(said) > 8 or before & set(reference.split()):
        return False
    return bool(_SAYING & before)


def spoken(text: str) -> str:
    """A text as it is compared: casefolded, without articles, punctuation and double blanks."""
    plain = without_text(text)
    return " ".join(re.sub(r"\b(?:the|a|an)\b|[^\w\s%$]", " ", plain.replace("'", "").casefold()).split())


def is_word(word: str) -> bool:
    if len(word) < 3:
        return word.lower() in _WORDS_OF_TWO or (len(word) == 2 and word[0].isupper() and word[1] in "aeiouy")
    if word.isupper():  # MR, SRAC: names of quantities
        return False
    voiced = _VOWELS.search(word.lower()) is not None
    return (
        voiced
        and (len(word) > 3 or word in ("odd", "yes", "red", "one", "two", "six", "ten", "all", "day", "cat", "dog"))
    ) or (voiced and word[0].isupper() and word[1:].islower())

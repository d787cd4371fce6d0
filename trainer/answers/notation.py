r"""One spelling for the many in which mathematics is typed: LaTeX with few commands, no spacing, no decoration. Pure.

What comes out is meant for the readers beside this file and for Math-Verify's parser, which knows no sizing commands,
no fraction without braces and no character beyond ASCII. Nothing here changes what a text says.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True))
_CHARACTERS = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ",
    "÷": r"\div ", "∕": "/", "⁄": "/", "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "⩽": r"\le ", "≥": r"\ge ",
    "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "±": r"\pm ", "∓": r"\mp ", "∪": r"\cup ", "∩": r"\cap ",
    "∈": r"\in ", "∅": r"\emptyset ", "ℝ": r"\mathbb{R}", "°": r"^\circ ", "º": r"^\circ ", "′": "'", "″": "''",
    "’": "'", "‘": "'", "“": '"', "”": '"', "…": r"\dots ", "⋯": r"\dots ", "，": ",", "；": ";", "：": ":",
    "（": "(", "）": ")", "【": "[", "】": "]", "。": ".", "％": "%", "＝": "=", "＋": "+", "＜": "<", "＞": ">",
    "￥": "¥", "＄": "$", "⟨": r"\langle ", "⟩": r"\rangle ", "\u00a0": " ", "\u2009": " ", "\u202f": " ",
    "\u2008": " ", "\u2005": " ", "\u2006": " ", "\u200a": " ", "\u200b": "", "\ufeff": "", "\u2061": "", "\u2062": "",
    **{chr(ord("０") + digit): str(digit) for digit in range(10)},
}  # fmt: skip
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho  sigma tau upsilon phi "
    "chi psi omega"
)  # in the order of their characters, with a gap where the final sigma stands
_CHARACTERS |= {
    chr(0x3B1 + at): rf"\{name} " for at, name in enumerate(_GREEK.split(" ")) if name and name != "omicron"
}
_VULGAR = re.compile(r"(\d*)\s*([¼½¾⅐-⅞])")
_ROOT = re.compile(r"([√∛])\s*(\(|\d+(?:\.\d+)?|[A-Za-z])?")

# Written without regard to what stands beside it, in this order.
_REPLACED: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r",\\!\s*", ","),
    (r"^\s*\*\*(.*)\*\*\s*$", r"\1"),
    (r"\\(?:large|Large|LARGE|huge|Huge|small|normalsize|bf|it)(?![a-zA-Z])", " "),
    (r"\\(?:textcolor|color)\s*\{[a-zA-Z]+\}", " "),
    (r"\{([^{}]*?)\\over(?![a-z])([^{}]*)\}", r"\\frac{\1}{\2}"),
    (r"\{?([^{}\s]+)\s*\\choose(?![a-z])\s*([^{}\s]+)\}?", r"\\binom{\1}{\2}"),
    (r"_\s*\{\s*\(\s*(\d+)\s*\)\s*\}|_\s*\{\s*\\text\s*\{\s*(?:base)?\s*(\d+)\s*\}\s*\}",
     lambda found: f"_{{{found[1] or found[2]}}}"),
    (r"\\(text|mathrm)\s*\{((?:[^{}]|\{[^{}]*\})*)\}",
     lambda found: rf"\{found[1]}{{{re.sub('[{}]', '', found[2])}}}" if "{-" in found[2] else found[0]),
    (r"\\pounds(?![a-z])", "£"),
    (r"\\euro(?![a-z])", "€"),
    (r"\\!|\\limits(?![a-zA-Z])|\\nolimits(?![a-zA-Z])|\\displaystyle(?![a-zA-Z])|\\textstyle(?![a-zA-Z])", ""),
    (r"(?<!\\)\\[,;:> ]|~|\\q?quad(?![a-zA-Z])|\\(?:thin|med|thick)space(?![a-zA-Z])|\\hfill(?![a-zA-Z])", " "),
    (r"\\[hv]space\*?\{[^{}]*\}|\\phantom\{[^{}]*\}|\\label\{[^{}]*\}", " "),
    (r"\{,\}", ","),
    (r"\\(?:left|right)\s*\.(?!\d)|\\(?:left|right|[bB]ig{1,2}[lrm]?)(?![a-zA-Z])\s*", ""),
    (r"\\[dtc]frac(?![a-z])", r"\\frac"),
    (r"\\[dt]binom(?![a-z])", r"\\binom"),
    (r"\\l[td]?ots(?![a-z])|\\c?dots[cbmio]?(?![a-z])|\\ldots(?![a-z])|\.\s?\.\s?\.", r"\\dots "),
    (r"\\leqslant(?![a-z])|\\leq{1,2}(?![a-z])", r"\\le "),
    (r"\\geqslant(?![a-z])|\\geq{1,2}(?![a-z])", r"\\ge "),
    (r"!=", r"\\ne "),
    (r"<=", r"\\le "),
    (r">=", r"\\ge "),
    (r"\\lt(?![a-z])", "<"),
    (r"\\gt(?![a-z])", ">"),
    (r"\\neq(?![a-z])", r"\\ne "),
    (r"\\(?:simeq|cong|thickapprox|doteq)(?![a-z])", r"\\approx "),
    (r"\\colon(?![a-z])", ":"),
    (r"\\(?:lbrace|\{)", r"\\{"),
    (r"\\(?:rbrace|\})", r"\\}"),
    (r"\\[lr]vert(?![a-z])|\\vert(?![a-z])", "|"),
    (r"\\mid(?![a-z])", "|"),
    (r"\\[lr]brack(?![a-z])", lambda found: "[" if "lbrack" in found[0] else "]"),
    (r"\\varnothing(?![a-z])", r"\\emptyset "),
    (r"\\mathbb\{?\s*R\s*\}?|\\R(?![a-zA-Z])|\\Reals?(?![a-zA-Z])", r"\\mathbb{R}"),
    (r"\^\s*\{\s*\\circ\s*\}|\^\s*\\circ(?![a-z])|\\degrees?(?![a-z])|\\textdegree(?![a-z])", r"^\\circ "),
    (r"\^\s*\{\s*((?:\\prime\s*)+)\}", lambda found: "'" * found[1].count("prime")),
    (r"\^\s*\\prime(?![a-z])", "'"),
    (r"\\%", "%"),
    (r"\\#", "#"),
    (r"\\&", "&"),
    (r"\\_", "_"),
    (r"\\ast(?![a-z])", r"\\cdot "),
    (r"(?<![a-zA-Z\\])(?:np|math|sp|sympy)\.(?=[a-z])", ""),
    (r"\*\*", "^"),
    (r"\*", r"\\cdot "),
    (r"\\var(?=(?:epsilon|theta|phi|rho|sigma)(?![a-z]))", r"\\"),
    (r"\\arc(sin|cos|tan|cot|sec|csc)h(?![a-z])|\\operatorname\{ar[c]?(sin|cos|tan|cot|sec|csc)h\}",
     lambda found: rf"\ar{found[1] or found[2]}h "),
    (r"\\operatorname\*?\{(arc(?:sin|cos|tan|cot|sec|csc)|log|ln|exp|max|min|sin|cos|tan|cot|sec|csc)\}", r"\\\1 "),
    (r"(?<![a-zA-Z\\])(?:a(sin|cos|tan)|arc(sin|cos|tan))(?=\s*[({])", lambda found: rf"\arc{found[1] or found[2]} "),
    (r"(?<![a-zA-Z\\])(sin|cos|tan|ln|log|exp|sqrt|pi|infty|theta|alpha|beta)(?![a-zA-Z])", r"\\\1 "),
    (r"(?<![a-zA-Z\\])(cot|sec|csc)(?=\s*[(^])", r"\\\1 "),
    (r"(?<![a-zA-Z\\])(?:infinity|inf|oo)(?![a-zA-Z])", r"\\infty "),
    (r"\\(text|textbf|textit|textrm|textsf|texttt|mbox|hbox|mathrm|mathsf|rm|operatorname\*?)\s*\{",
     lambda found: "\\mathrm{" if found[1] in ("mathrm", "mathsf", "rm") else "\\text{"),
    (r"\\text\{\s*([^{}]*\d[^{}]*?)\s*\}\s*$|^\s*\\text\{\s*([^{}]*\d[^{}]*?)\s*\}(?=\s*_)",
     lambda found: found[0] if found.start() else found[1] or found[2]),
    (r"(?<=[0-9A-F])\s*(?:\\text\{\s*)?\(?\s*(?:in )?base\s*\}?[- ]?(\d+)\s*\)?\s*\}?", r"_{\1}"),
)  # fmt: skip
_PATTERNS = [(re.compile(pattern), replacement) for pattern, replacement in _REPLACED]
_UNWRAPPED = re.compile(
    r"\\(?:mathbf|mathit|mathcal|boldsymbol|bm|vec|overrightarrow|underline|boxed|fbox|ensuremath|pmb)\s*\{"
)
_TEXT = re.compile(r"\\(?:text|mathrm)\s*\{([^{}]*)\}")
_BARE_ARGUMENT = r"(\\[a-zA-Z]+|\w)"
_FRACTION = re.compile(r"\\frac\s*(?:\{|" + _BARE_ARGUMENT + r")")
_SQRT = re.compile(r"\\sqrt\s*(\[[^\[\]]*\])?\s*" + _BARE_ARGUMENT)
_SQRT_OF_BRACKET = re.compile(r"\\sqrt\s*\(")
_E_NOTATION = re.compile(r"(?<![a-zA-Z\d.])(\d+\.?\d*|\.\d+)[eE]([+-]?\d+)(?![\d.]*[a-zA-Z{])")
_AROUND = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))


def clean(text: str) -> str:
    r"""`text` in the one spelling: no spacing or sizing commands, plain ASCII, ``\frac{a}{b}``, ``\text{}``, ``\$``."""
    text = _without_frame(_ascii(text).strip())
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    text = _unwrapped(text)
    text = _braced(text)
    text = re.sub(r"\s+", " ", text).strip()
    return text.rstrip(" ,;").removesuffix(".").rstrip() if not text.endswith(r"\dots") else text


def without_text(text: str) -> str:
    r"""What stands in ``\text{}`` and ``\mathrm{}`` as plain words."""
    return _TEXT.sub(r" \1 ", text)


def group_end(text: str, start: int) -> int | None:
    r"""The place after the brace that closes the one at `start`; None where it does not close. ``\{`` is no brace."""
    depth, at = 0, start
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        depth += (text[at] == "{") - (text[at] == "}")
        at += 1
        if depth == 0:
            return at
    return None


def split_top(text: str, separator: re.Pattern[str]) -> list[str]:
    """`text` cut where `separator` matches outside of every kind of bracket, parts stripped."""
    parts, begin, at, depth = list[str](), 0, 0, 0
    while at < len(text):
        if depth == 0 and (found := separator.match(text, at)) and found.end() > at:
            parts.append(text[begin:at].strip())
            begin = at = found.end()
            continue
        if text[at] == "\\" and at + 1 < len(text):
            named = re.match(r"\\(?:langle|rangle|lfloor|rfloor|lceil|rceil|begin|end)(?![a-zA-Z])|\\[{}]", text[at:])
            word = named[0] if named else text[at : at + 2]
            depth += (word in _OPENING) - (word in _CLOSING)
            at += len(word)
            continue
        depth = max(0, depth + (text[at] in "([{") - (text[at] in ")]}"))
        at += 1
    return [*parts, text[begin:].strip()]


_OPENING = (r"\langle", r"\lfloor", r"\lceil", r"\begin", r"\{")
_CLOSING = (r"\rangle", r"\rfloor", r"\rceil", r"\end", r"\}")


def _ascii(text: str) -> str:
    """Superscripts before everything: their digits would join those beside them (5² is not 52)."""
    text = re.sub("[" + "".join(_SUPERSCRIPTS) + "]+", _superscript, text)
    text = _VULGAR.sub(_vulgar, text)
    text = _ROOT.sub(lambda found: ("\\sqrt" if found[1] == "√" else "\\sqrt[3]") + _argument(found[2]), text)
    return "".join(_CHARACTERS.get(character, character) for character in unicodedata.normalize("NFC", text))


def _superscript(found: re.Match[str]) -> str:
    return "^{" + "".join(_SUPERSCRIPTS[character] for character in found[0]) + "}"


def _vulgar(found: re.Match[str]) -> str:
    over, _, under = unicodedata.normalize("NFKC", found[2]).partition("\u2044")
    return rf"{found[1]}\frac{{{over}}}{{{under}}}"


def _argument(text: str | None) -> str:
    return "(" if text == "(" else f"{{{text}}}" if text else ""


def _without_frame(text: str) -> str:
    r"""Without the dollar signs of mathematics. One before an amount is a currency, and stays, as ``\$``."""
    text = text.rstrip(" .,;") if text.rstrip(" .,;").endswith("$") else text
    for left, right in _AROUND:
        inner = text[len(left) : len(text) - len(right)]
        if text.startswith(left) and text.endswith(right) and len(text) > len(left + right) and left not in inner:
            return inner.removesuffix("\\") if right == "$" and inner.endswith("\\") else inner.strip()
    bare = re.sub(r"\\\$", "", text)
    if bare.count("$") == 1 and (amount := re.match(r"(-?\s*)\$\s*(?=[\d.])", bare)):
        return text.replace(amount[0], amount[1] + "\\$", 1)
    return re.sub(r"(?<!\\)\$", " ", text)


def _unwrapped(text: str) -> str:
    r"""``\mathbf{x}`` and its like give way to what they hold."""
    while found := _UNWRAPPED.search(text):
        end = group_end(text, found.end() - 1)
        if end is None:
            return text
        text = f"{text[: found.start()]} {text[found.end() : end - 1]} {text[end:]}"
    return text


def _braced(text: str) -> str:
    r"""Braces around the arguments of ``\frac`` and ``\sqrt``, and powers of ten for what is written like 4.5e33."""
    at = 0
    while found := _FRACTION.search(text, at):
        begin = text.index("c", found.start()) + 1
        first, rest = _taken(text[begin:])
        second, rest = _taken(rest)
        if not first or not second:
            at = found.end()
            continue
        text = f"{text[: found.start()]}\\frac{{{first}}}{{{second}}}{rest}"
        at = found.start() + len(r"\frac")
    text = _SQRT.sub(lambda found: rf"\sqrt{found[1] or ''}{{{found[2]}}}", text)
    while found := _SQRT_OF_BRACKET.search(text):
        end = _round_end(text, found.end() - 1)
        if end is None:
            break
        text = rf"{text[: found.start()]}\sqrt{{{text[found.end() : end - 1]}}}{text[end:]}"
    return _E_NOTATION.sub(r"\1 \\times 10^{\2}", text)


def _taken(text: str) -> tuple[str, str]:
    """A command's next argument and what follows it."""
    text = text.lstrip()
    if text.startswith("{"):
        end = group_end(text, 0)
        return ("", text) if end is None else (text[1 : end - 1], text[end:])
    found = re.match(_BARE_ARGUMENT, text)
    return (found[0], text[found.end() :]) if found else ("", text)


def _round_end(text: str, start: int) -> int | None:
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at + 1
    return None

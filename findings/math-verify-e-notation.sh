#!/usr/bin/env bash
# Math-Verify 0.9.0 (latex2sympy2_extended 1.11.0): numbers in e-notation, as published references write them, are read
# as products with Euler's number; and a variable c at the end of an answer is dropped as if it were a unit.
# Guess: 3e6 is three million, and 1/sqrt(2) is no right answer to c/sqrt(2).
# Seen:  against the reference 3e6 the answer 18e is right and 3 \times 10^6 wrong; against \frac{1}{\sqrt{2}}c the
#        answer \frac{1}{\sqrt{2}} is right. Minerva Math has 58 references of the first form and one of the second.
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "math-verify==0.9.0" "latex2sympy2_extended==1.11.0" "antlr4-python3-runtime==4.13.2" "sympy==1.14.0"
"$folder/venv/bin/python" - <<'PY'
import logging
from importlib.metadata import version

from math_verify import parse, verify

logging.disable(logging.CRITICAL)


def right(reference: str, answer: str) -> bool:
    return verify(parse(f"\\boxed{{{reference}}}"), parse(f"\\boxed{{{answer}}}"))


print("math-verify", version("math-verify"), "latex2sympy2_extended", version("latex2sympy2_extended"))
cases = [
    ("3e6", "18e", True),
    ("3e6", r"3 \times 10^6", False),
    ("3e6", "3000000", False),
    (r"\frac{1}{\sqrt{2}}c", r"\frac{1}{\sqrt{2}}", True),
    (r"\frac{1}{\sqrt{2}}x", r"\frac{1}{\sqrt{2}}", False),
]
for reference, answer, seen in cases:
    found = right(reference, answer)
    print(f"reference {reference:24} answer {answer:22} right: {found}")
    assert found is seen, "this has changed"
PY

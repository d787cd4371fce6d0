#!/usr/bin/env bash
# latex2sympy2_extended 1.11.0 (the parser of Math-Verify 0.9.0): the Greek letter gamma is read as the name of a
# function, and what stands beside it is swallowed without an error.
# Guess: \gamma + 1 is a sum of a symbol and 1, as \beta + 1 is.
# Seen:  \beta + 1 is read as beta + 1, \gamma + 1 as the number 1; m(\gamma^2 - 1) contains complex infinity. So every
#        answer \gamma + k with another k is another number, and Lorentz factors cannot be judged.
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "latex2sympy2_extended==1.11.0" "antlr4-python3-runtime==4.13.2" "sympy==1.14.0"
"$folder/venv/bin/python" - <<'PY'
from importlib.metadata import version

import sympy
from latex2sympy2_extended import latex2sympy

print("latex2sympy2_extended", version("latex2sympy2_extended"))
beta, gamma, lorentz = (latex2sympy(text) for text in (r"\beta+1", r"\gamma+1", r"m(\gamma^{2}-1)"))
print(r"\beta+1 ->", beta, r"  \gamma+1 ->", gamma, r"  m(\gamma^{2}-1) ->", lorentz)
assert {str(symbol) for symbol in beta.free_symbols} == {"beta"}, "this has changed"
assert gamma == 1 and not gamma.free_symbols, "this has changed"
assert lorentz.has(sympy.zoo), "this has changed"
PY

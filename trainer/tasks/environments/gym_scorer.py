"""The process in which reasoning-gym scores answers; `trainer.tasks.environments.reasoning_gym` starts and ends it.

A script, run by its path. Of each line ``[<data set>, <settings>, <item>, <answer>]`` it tells the score, a number;
0 where the scorer raises. `trainer.answers.guard` holds it to its limits.

Several scorers turn an answer's text into Python values, with `eval` or SymPy's parser, which is `eval` too. They are
given literals alone to evaluate, and no names of Python's own functions to parse; and once it is ready, this process
may write no file, start no other and open no connection.
"""

from __future__ import annotations

import ast
import builtins
import json
import math
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).resolve().parents[3])
KNOWN = ("chain_sum", {"min_terms": 2, "max_terms": 2, "seed": 0, "size": 1})
_NAME = re.compile(r"[^\W\d]\w*")
_ATTRIBUTE = re.compile(r"\.\s*[^\W\d]")
_EVALUATE = (  # an answer
    *("reasoning_gym.algorithmic.binary_matrix", "reasoning_gym.algorithmic.spiral_matrix"),
    *("reasoning_gym.algorithmic.string_insertion", "reasoning_gym.games.n_queens"),
)


def answer(line: str) -> str:
    name, config, item, text = json.loads(line)
    try:
        score = float(_data_set(name, json.dumps(config, sort_keys=True)).score_answer(text, ast.literal_eval(item)))
    except (MemoryError, RecursionError):
        raise
    except Exception:
        return "0.0"
    return repr(score) if math.isfinite(score) else "0.0"


@cache
def _data_set(name: str, config: str) -> Any:
    from reasoning_gym.factory import create_dataset  # here, because `main` says so where it is missing

    return create_dataset(name, **{"seed": 0, "size": 1, **json.loads(config)})


def fault() -> str | None:
    """Why no answer can be scored; makes the process safe for answers on the way."""
    data_set = _data_set(KNOWN[0], json.dumps(KNOWN[1]))
    item = data_set[0]
    if [data_set.score_answer(text, item) for text in (item["answer"], "no number")] != [1.0, 0.0]:
        return "it does not score a sum as right, and a word as wrong"
    from trainer.answers.guard import seal  # here, for only in `main` is it found

    _tame()
    seal()
    return None


def _tame() -> None:
    """Replaces what turns a text into values in the modules of reasoning-gym, whose scorers find it by these names."""
    import sympy  # here, as all that is heavy
    import sympy.parsing.sympy_parser as parser

    parse_expr = parser.parse_expr

    def parse(text: str, *arguments: Any, **options: Any) -> Any:
        names = set(_NAME.findall(text))
        if "__" in text or _ATTRIBUTE.search(text) or set("'\"[{") & set(text) or names & set(dir(builtins)):
            raise ValueError("no formula")
        return parse_expr(text, *arguments, **options)

    sympy.parse_expr = parser.parse_expr = parse
    for name, module in list(sys.modules.items()):
        if name.startswith("reasoning_gym.") and vars(module).get("parse_expr") is parse_expr:
            vars(module)["parse_expr"] = parse
        if name in _EVALUATE:
            vars(module)["eval"] = ast.literal_eval


def main() -> None:
    sys.path.append(ROOT)  # last: the project's folder must not hide the names of other packages
    from trainer.answers.guard import serve  # here, for only now is it found

    serve(answer, fault, beyond="0.0")


if __name__ == "__main__":
    main()

"""The process in which the problems of reasoning-gym are made; `trainer.tasks.environments.gym_items` starts it.

A script, run by its path with PYTHONHASHSEED=0: some data sets iterate over sets of texts. It reads one JSON object,
``{"parts": [{"name", "config", "seed", "problems", "refused": [<question>, ...]}, ...], "seconds"}``, and writes a JSON
list ``[<part's number>, <question>, <answer>, <difficulty>, <item>]`` for each problem, whose item is a Python literal,
and at last ``{"made": [<problems of each part>], "ended": null, "exhausted", "late" or what was raised}``.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).resolve().parents[3])
BLOCK = 500  # items of one seed, the library's own size of a data set
FEWEST_NEW = 0.01  # the share of a block's items that must be new, or the data set has no more
MOST_LEVELS = 10


def main() -> None:
    sys.path.append(ROOT)  # last: the project's folder must not hide the names of other packages
    import reasoning_gym.factory  # noqa: F401  before `seal`, for to import NumPy is to open libraries

    from trainer.answers.guard import seal  # here, for only now is it found

    request = json.load(sys.stdin)
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no reply
    late = time.process_time() + request["seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (int(2 * request["seconds"]) + 60,) * 2)  # one item that never ends
    seal()  # a data set runs programs that it has collected
    made, ended = list[int](), None
    for number, part in enumerate(request["parts"]):
        made.append(0)
        try:
            for told in _told_until(late, part):
                print(json.dumps([number, *told]), file=replies)
                made[-1] += 1
            ended = None if made[-1] == part["problems"] else "exhausted"
        except TimeoutError:
            ended = "late"
        except Exception as error:
            ended = f"{type(error).__name__}: {error}"
        if ended is not None:
            break
    print(json.dumps({"made": made, "ended": ended}), file=replies, flush=True)


def _told_until(late: float, part: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """As many problems as asked for, or all that there are. Raises `TimeoutError` once the time is `late`."""
    left = part["problems"]
    for item in _different(part) if left else ():
        if time.process_time() > late:
            raise TimeoutError
        if item is not None:
            yield item["question"], item["answer"], difficulty(item["metadata"]), repr(plain(item))
            left -= 1
        if not left:
            return


def _different(part: Mapping[str, Any]) -> Iterator[dict[str, Any] | None]:
    """Items with a question of their own; None for each that is left out, so that the time is looked at."""
    from reasoning_gym.factory import create_dataset  # here, where what it raises is told

    from trainer.seeds import derive  # here, for only in `main` is it found

    asked, block, new = set(part["refused"]), 0, BLOCK
    while new >= BLOCK * FEWEST_NEW:
        seed = derive(part["seed"], part["name"], block) % 2**31
        data_set, new = create_dataset(part["name"], **part["config"], seed=seed, size=BLOCK), 0
        for index in range(BLOCK):
            item = _item(data_set, index)
            if item is None or item["question"] in asked:
                yield None
                continue
            asked.add(item["question"])
            new += 1
            yield item
        block += 1


def _item(data_set: Any, index: int) -> dict[str, Any] | None:
    """None where a generator gives up, as some do over some of their random numbers, and where nothing is known to be
    right: no reference answer is stored, or its own scorer does not give it 1.
    """
    try:
        item = dict(data_set[index])
        answer = item["answer"].strip()
        return item if answer and data_set.score_answer(answer, item) >= 1 else None
    except Exception:
        return None


def difficulty(metadata: Mapping[str, Any]) -> str:
    """``num_terms_3``: what the item has of the first setting that ranges over at most `MOST_LEVELS` whole numbers.

    Empty where there is none: an item's metadata say between which bounds a data set drew, and mostly what it drew.
    """
    bounds = metadata.get("difficulty")
    if isinstance(bounds, int | float) and not isinstance(bounds, bool):
        return f"{bounds:g}"
    for key, bound in bounds.items() if isinstance(bounds, dict) else ():
        drawn = metadata.get(key)
        if isinstance(bound, tuple | list) and len(bound) == 2 and isinstance(drawn, int) and _few(*bound):
            return f"{key}_{drawn}"
    return ""


def _few(low: object, high: object) -> bool:
    return isinstance(low, int) and isinstance(high, int) and 0 < high - low < MOST_LEVELS


def plain(value: Any) -> Any:
    """The same in Python's own types, whose `repr` says all of them; of what has none, as a fraction, its text."""
    if isinstance(value, dict):
        return {plain(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        kind = list if isinstance(value, list) else tuple if isinstance(value, tuple) else set
        return kind(plain(each) for each in value)
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return plain(value.tolist()) if not isinstance(value, str) else str(value)
    known = value is None or type(value) in (bool, int) or (type(value) is float and math.isfinite(value))
    return value if known else str(value)


if __name__ == "__main__":
    main()

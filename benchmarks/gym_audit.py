"""Tries every data set of reasoning-gym through the adapter, and writes down which can be trusted.

    python benchmarks/gym_audit.py tried FILE     tries all data sets and writes what came to FILE (an hour of a core)
    python benchmarks/gym_audit.py judged FILE    makes of it trainer/tasks/environments/gym_audit.json, and the table

Of each data set, with its own settings: does every reference answer score 1, does an answer that is none reach it, are
the items the same in another process, on another day and in another time zone, and how long does one take. What reaches
1 by chance or with reason (another item's answer, a changed one) is counted and shown: a person judges, in `BY_HAND`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

from trainer.answers.processes import ProcessPool
from trainer.errors import ConfigError
from trainer.tasks.environments import SAME_EVERYWHERE, gym_items
from trainer.tasks.environments.gym_audit import AUDIT
from trainer.tasks.environments.gym_items import Item, Part, make
from trainer.tasks.environments.reasoning_gym import SCORER

VERSION = "0.1.25"
ITEMS, AGAIN = 40, 10
LIMIT_S = 60.0  # of processor time to make them
START_S = 2.0  # of processor time until the first item: the library is imported
SLOW_S = 3.0  # an item: a trial's few thousand would take hours
NONSENSE = ("I do not know", "xyzzy", "???", "[]", "{}", "((((", "-", "a b c")
TOLD_S = 0.05
OTHERS_PAID = 0.2  # of other items' answers as many may be right, by chance or by the form of the question
SHIFTED = """
import datetime, time
class date(datetime.date):
    @classmethod
    def today(cls): return cls.fromordinal(datetime.date.toordinal(_date.today()) + 77)
class Datetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None): return _datetime.now(tz) + datetime.timedelta(days=77, seconds=12345)
_date, _datetime = datetime.date, datetime.datetime
datetime.date, datetime.datetime = date, Datetime
_time = time.time
time.time = lambda: _time() + 77 * 86400
"""

BY_HAND = {"composite": "is a mix of others: write task.params.mix"}


@dataclass
class Tried:
    """What came of one data set; scores of wrong answers as the highest, and as how many reach 1 of how many."""

    name: str
    items: int = 0
    fault: str = ""
    seconds: float = 0.0  # an item, of processor time, its process's start left out
    own: list[float] = field(default_factory=list)
    lost: int = 0  # answers over which the scorer's process was lost
    nonsense: float = 0.0
    others: tuple[int, int] = (0, 0)
    changed: tuple[int, int] = (0, 0)
    highest_wrong: float = 0.0
    paid: list[tuple[str, str]] = field(default_factory=list)
    questions: list[tuple[str, str]] = field(default_factory=list)  # and answers, of a few items
    by_hash: bool = False
    by_day: bool = False  # or by nothing at all


def try_all(names: Sequence[str], told: Path) -> None:
    """Goes on with what FILE holds: some data sets take minutes."""
    tried = [Tried(**each) for each in json.loads(told.read_text())] if told.is_file() else []
    with ProcessPool(SCORER, 1, time_limit_s=20.0, memory_limit_gib=2.0) as pool:
        for name in sorted(set(names) - {each.name for each in tried}):
            tried.append(try_one(name, pool))
            _tell(tried, told)
            print(name, tried[-1].fault, tried[-1].items, f"{tried[-1].seconds:.2g}", flush=True)
    quick = [each for each in tried if each.questions and each.seconds < 1]
    slow = [[each] for each in tried if each.questions and each.seconds >= 1]
    for some in [*(quick[i : i + 10] for i in range(0, len(quick), 10)), *slow]:
        with _elsewhere({"TZ": "Asia/Tokyo", "PYTHONPATH": _shifted()}):
            for each, differs in zip(some, _differ(some), strict=True):
                each.by_day = differs
        with _elsewhere({}), patch.dict(SAME_EVERYWHERE, {"PYTHONHASHSEED": "1"}):
            for each, differs in zip(some, _differ(some), strict=True):
                each.by_hash = differs
        _tell(tried, told)


def _tell(tried: Sequence[Tried], told: Path) -> None:
    told.write_text(json.dumps([asdict(each) for each in tried], indent=1))


def try_one(name: str, pool: ProcessPool) -> Tried:
    tried, began = Tried(name), os.times()
    try:
        items = make([Part(name, {}, 1, ITEMS)], "audit", LIMIT_S)
    except ConfigError as error:
        tried.fault = str(error)
        try:
            items = make([Part(name, {}, 1, 3)], "audit", LIMIT_S)
        except ConfigError:
            return tried
    ended = os.times()
    spent = ended.children_user + ended.children_system - began.children_user - began.children_system
    tried.items, tried.seconds = len(items), max(0.0, spent - START_S) / len(items)
    tried.questions = [(item.question, item.answer) for item in items[:AGAIN]]
    _score(tried, items, pool)
    return tried


def _differ(some: Sequence[Tried]) -> list[bool]:
    """Of each whether it makes other items where this process is now."""
    try:
        items = make([Part(each.name, {}, 1, len(each.questions)) for each in some], "audit", 5 * LIMIT_S)
    except ConfigError:
        return _differ(some[:1]) + _differ(some[1:]) if len(some) > 1 else [True]
    return [
        [(item.question, item.answer) for item in items if item.name == each.name] != [*map(tuple, each.questions)]
        for each in some
    ]


def _score(tried: Tried, items: Sequence[Item], pool: ProcessPool) -> None:
    def scores(pairs: Sequence[tuple[Item, str]]) -> list[float]:
        replies = pool.ask([json.dumps([item.name, {}, item.literal, answer]) for item, answer in pairs])
        tried.lost += replies.count(None)
        return [float(reply or 0) for reply in replies]

    tried.own = scores([(item, item.answer.strip()) for item in items])
    tried.nonsense = max(scores([(item, text) for item in items for text in NONSENSE if text != item.answer]))
    others = [(item, other.answer.strip()) for item, other in pairwise(items)]
    changed = [(item, text) for item in items for text in _changed(item.answer.strip())]
    for kind, pairs in (("others", others), ("changed", changed)):
        wrong = [(item, text) for item, text in pairs if text and text != item.answer.strip()]
        found = scores(wrong)
        setattr(tried, kind, (sum(score >= 1 for score in found), len(found)))
        tried.paid += [(item.answer, text) for (item, text), score in zip(wrong, found, strict=True) if score >= 1][:4]
        tried.highest_wrong = max([tried.highest_wrong, *(score for score in found if score < 1)])


def _changed(answer: str) -> Iterator[str]:
    """One character other, too many, too few."""
    yield answer[:-1] + ("7" if answer[-1:] != "7" else "3")
    yield answer + "x"
    yield answer[1:].strip()


@contextmanager
def _elsewhere(environment: Mapping[str, str]) -> Iterator[None]:
    """Nothing kept is read, nothing is kept, and the maker sees another environment."""
    gym_items._made.cache_clear()
    with patch.dict(os.environ, environment), patch.object(gym_items, "cache_folder", lambda: None):
        yield
    gym_items._made.cache_clear()


def _shifted() -> str:
    """A folder with a module that Python imports by itself at its start: it lives 77 days later."""
    folder = Path(tempfile.gettempdir()) / "minrl_shifted_clock"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(SHIFTED)
    return str(folder)


def reason(tried: Tried) -> str | None:
    """Why a data set is not usable; None where it is."""
    if tried.name in BY_HAND:
        return BY_HAND[tried.name]
    if not tried.items:
        return "none of its items has a reference answer that it scores as right"
    if min(tried.own) < 1:
        return "its scorer does not know its own answers again in another process"
    if tried.nonsense >= 1:
        return "its scorer pays any text in full"
    if tried.others[0] > OTHERS_PAID * tried.others[1]:
        return f"its scorer pays the answers of other items in full, {tried.others[0]} of {tried.others[1]}"
    if tried.by_day:
        return "makes other items each time"
    if tried.seconds > SLOW_S:
        return f"an item takes {tried.seconds:.0f} s"
    return None


def table(found: Sequence[Tried], unusable: Mapping[str, str]) -> str:
    """Both lists in Markdown: what is not usable, and of the rest what there is to know."""
    lines = ["| Data set | Not usable, for |", "|---|---|"]
    lines += [f"| `{name}` | {why} |" for name, why in unusable.items()]
    lines += [
        "",
        "| Data set | An item, ms | Nonsense | Another item's answer | A changed answer | |",
        "|---|---|---|---|---|---|",
    ]
    for each in found:
        if each.name not in unusable and (remark := _remark(each)) is not None:
            others, changed = (f"{paid} of {asked}" if paid else "" for paid, asked in (each.others, each.changed))
            slow = f"{1000 * each.seconds:.0f}" if each.seconds >= TOLD_S else ""
            nonsense = f"{each.nonsense:.2f}" if each.nonsense else ""
            lines.append(f"| `{each.name}` | {slow} | {nonsense} | {others} | {changed} | {remark} |")
    return "\n".join(lines)


def _remark(tried: Tried) -> str | None:
    """None where there is nothing to know."""
    example = " for ".join(f"`{text}`" for text in reversed(tried.paid[0])) if tried.paid else ""
    short = example if "\n" not in example and len(example) < 70 else ""
    hashed = "other items under another hash seed, which is fixed" if tried.by_hash else ""
    known = tried.seconds >= TOLD_S or tried.nonsense > 0 or tried.others[0] or tried.changed[0] or tried.by_hash
    return ", ".join(filter(None, (short, hashed))) if known else None


def main() -> None:
    command, place = sys.argv[1], Path(sys.argv[2])
    if command == "tried":
        from reasoning_gym.factory import DATASETS  # here, because `judged` needs none of it

        try_all(sys.argv[3:] or sorted(DATASETS), place)
        return
    found = [Tried(**each) for each in json.loads(place.read_text())]
    unusable = {each.name: why for each in found if (why := reason(each)) is not None}
    usable = [each.name for each in found if each.name not in unusable]
    content = {"version": VERSION, "usable": usable, "unusable": unusable}
    AUDIT.write_text(json.dumps(content, indent=1) + "\n")
    print(table(found, unusable))


if __name__ == "__main__":
    main()

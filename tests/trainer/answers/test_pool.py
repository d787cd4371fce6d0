"""The processes that compare answers: real ones, and stand-ins that sleep, work for ever, die, or fill the memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer.answers import Expects, Reference
from trainer.answers.pool import WORKER, CheckerPool, Pair
from trainer.answers.processes import WorkerError, _Process
from trainer.rollout import Verdict

pytest.importorskip("math_verify", reason="needs Math-Verify, from the math extra")

ROOT = Path(__file__).parents[3]
STAND_IN = Path(__file__).with_name("stand_in.py")


@pytest.fixture(scope="module")
def pool() -> Iterator[CheckerPool]:
    with CheckerPool(processes=2, time_limit_s=10.0) as pool:
        yield pool


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch) -> Iterator[CheckerPool]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with CheckerPool(processes=2, time_limit_s=0.5, memory_limit_gib=1.0, worker=STAND_IN) as pool:
        yield pool


def asked(*pairs: tuple[str, str | None]) -> list[Pair]:
    return [(Reference(text), answer) for text, answer in pairs]


def processes(pool: CheckerPool) -> list[int]:
    return [process._process.pid for process in pool._pool._running]


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_wrong_and_unparsable_are_told_apart_and_the_order_is_kept(pool: CheckerPool) -> None:
    pairs = [("5", "6"), ("5", "???"), ("5", "5.0"), ("5", "}{"), (r"\frac{6}{7}", r"\frac{6"), ("5", "6"), ("5", "")]
    assert [str(verdict) for verdict in pool.check(asked(*pairs))] == [
        *("wrong", "unparsable", "correct", "unparsable", "unparsable", "wrong", "unparsable")
    ]


def test_what_is_asked_for_reaches_the_judge(pool: CheckerPool) -> None:
    asked = [Reference("5", Expects.number), Reference("5"), Reference("5", tolerance="0.2"), Reference("5")]
    answers = [r"\sqrt{25}", r"\sqrt{25}", "5.1", "5.1"]
    assert [str(verdict) for verdict in pool.check(list(zip(asked, answers, strict=True)))] == [
        *("wrong", "correct", "correct", "wrong")
    ]


def test_a_reference_alone_is_asked_whether_it_can_be_judged(pool: CheckerPool) -> None:
    references = [r"\sqrt{2}", "???", "", r"\text{Monday}", "1./3", "4.5e33"]
    verdicts = pool.check(asked(*((text, None) for text in references)))
    assert [verdict is Verdict.correct for verdict in verdicts] == [True, False, False, True, True, True]


@pytest.mark.parametrize(
    "text",
    [
        *("\ud800", "\x00", "٣", "五", "🂡" * 300, "\\" * 900, "$" * 900, '\n["a", "b"]\n', "%%%", "{" * 400 + "5"),
        *("(" * 400 + "5" + ")" * 400, r"\frac{1}{" * 120 + "5" + "}" * 120, "+" * 999, "1," * 499, r"\cup" * 240),
        *("_" * 900, "^" * 900, r"\text{" * 150, "x=" * 400, "|" * 900, r"\begin{pmatrix}" * 60, ":" * 900, "." * 900),
    ],
)
def test_garbage_is_judged_and_not_correct(pool: CheckerPool, text: str) -> None:
    pool.check(asked(("12", "13")))
    before = processes(pool)
    assert pool.check(asked(("12", text)))[0] in (Verdict.wrong, Verdict.unparsable)
    assert processes(pool) == before, "no process was lost over it"


@pytest.mark.parametrize("answer", ["sleep", "work", "die"])
def test_a_hostile_answer_costs_only_itself(misbehaving: CheckerPool, answer: str) -> None:
    pairs = asked(("1", "1.0"), ("2", answer), ("3", "3.0"), ("4", "5"))
    expected = [Verdict.correct, Verdict.timed_out, Verdict.correct, Verdict.wrong]
    assert misbehaving.check(pairs) == expected
    assert misbehaving.check(pairs) == expected, "the pool goes on"


@pytest.mark.parametrize("answer", ["eat", "recur"])
def test_an_answer_that_asks_for_too_much_says_nothing(misbehaving: CheckerPool, answer: str) -> None:
    verdicts = misbehaving.check(asked(("1", answer), ("3", "3.0")))
    assert verdicts[0] in (Verdict.unparsable, Verdict.timed_out)
    assert verdicts[1] is Verdict.correct


def test_a_process_may_have_no_more_memory_than_told() -> None:
    with CheckerPool(processes=1, time_limit_s=20.0, memory_limit_gib=1.5) as pool:
        pool.check(asked(("5", "5.0")))
        (pid,) = processes(pool)
        (line,) = (line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "address space" in line)
        assert line.split()[3:5] == [str(3 * 2**29)] * 2


def test_a_process_that_was_killed_is_replaced() -> None:
    with CheckerPool(processes=1, time_limit_s=20.0) as pool:
        assert pool.check(asked(("5", "5.0"))) == [Verdict.correct]
        (first,) = processes(pool)
        os.kill(first, signal.SIGKILL)
        while alive(first):
            time.sleep(0.01)
        assert pool.check(asked(("5", "5.00"))) == [Verdict.correct]
        assert processes(pool) != [first]


def test_nothing_runs_before_the_first_check_or_after_the_last() -> None:
    pool = CheckerPool(processes=2)
    assert processes(pool) == []
    assert pool.check(asked(("5", "5"), ("x", "x"))) == [Verdict.correct] * 2
    assert processes(pool) == [], "equal texts need no process"
    pool.check(asked(("5", "5.0"), ("5", "6.0")))
    ids = processes(pool)
    assert len(ids) == 2
    pool.close()
    assert not any(alive(pid) for pid in ids)


def test_an_interrupted_check_leaves_no_reply_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with CheckerPool(processes=1, time_limit_s=20.0) as pool:
        pool.check(asked(("5", "5.0")))
        (pid,) = processes(pool)

        def interrupt(process: _Process) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(_Process, "reply", interrupt)
            with pytest.raises(KeyboardInterrupt):
                pool.check(asked(("5", "6")))
        assert not alive(pid)
        assert pool.check(asked(("5", "5.0"))) == [Verdict.correct]


def test_the_kernel_ends_a_check_that_hangs_whoever_is_left_to_wait_for_it() -> None:
    command = [sys.executable, "-P", str(STAND_IN), "1", str(2**31)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        print(json.dumps([["5", "expression", ""], "work"]), file=worker.stdin)
        assert worker.wait(120) == -signal.SIGPROF


def test_a_worker_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "latex2sympy2_extended"
    broken.mkdir()
    (broken / "__init__.py").write_text("from nowhere import latex2sympy\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(WorkerError, match="No module named 'nowhere'"), CheckerPool(1) as pool:
        pool.check(asked(("5", "5.0")))


def test_a_parser_that_gets_everything_wrong_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with an antlr runtime of another version: every parse fails, and every reward would silently be 0."""
    broken = tmp_path / "latex2sympy2_extended"
    broken.mkdir()
    (broken / "__init__.py").write_text("def latex2sympy(*args, **options): raise Exception('no viable alternative')\n")
    (broken / "latex2sympy2.py").write_text("class ConversionConfig:\n    def __init__(self, **options): ...\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(WorkerError, match=r"does not find 2 pi/4 equal to pi/2"), CheckerPool(1) as pool:
        pool.check(asked(("5", "5.0")))


def test_the_worker_finds_the_package_wherever_it_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial's process may have another current directory, and a path without this checkout."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    with CheckerPool(1, worker=WORKER) as pool:
        assert pool.check(asked(("5", "5.0"))) == [Verdict.correct]

"""Math-Verify in processes: real ones, with answers made to hang, to crash, or to fill the memory."""

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

from trainer.answers.pool import WORKER, CheckerError, CheckerPool, _Checker
from trainer.rollout import Verdict

pytest.importorskip("math_verify", reason="needs Math-Verify, from the math extra")

HANGS = "9^{9^{9^9}}"  # in C code, where no signal handler interrupts it


@pytest.fixture(scope="module")
def pool() -> Iterator[CheckerPool]:
    with CheckerPool(processes=2, time_limit_s=10.0) as pool:
        yield pool


def processes(pool: CheckerPool) -> list[int]:
    return [checker._process.pid for checker in pool._checkers]


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("0.5", r"\frac{1}{2}"),
        ("5", "x=5"),
        ("1000", "1,000"),
        ("90", r"90^\circ"),
        ("5", r"5\text{ cm}"),
        (r"\frac{1}{2}", r"50\%"),
        (r"50\%", "0.5"),
        (r"50 \%", "50%"),
        ("[1,2)", "[1,2)"),
        (r"\{1,2\}", r"\{2,1\}"),
        ("1, 2, 3", "3,2,1"),
        ("x^2+2x+1", "(x+1)^2"),
        (r"2\sqrt{3}", r"\sqrt{12}"),
        (r"\text{Monday}", "Monday"),
        ("A", r"\text{(A)}"),
        ("12", "12."),
        ("7", "$7$"),
    ],
)
def test_equal_answers_written_differently_are_correct(pool: CheckerPool, reference: str, answer: str) -> None:
    assert pool.check([(reference, answer)]) == [Verdict.correct]


def test_wrong_and_unparsable_are_told_apart_and_the_order_is_kept(pool: CheckerPool) -> None:
    pairs = [
        ("5", "6"),
        ("5", "???"),
        ("5", "5.0"),
        ("5", "}{"),
        ("5", r"\frac{6"),
        ("5", "five"),
        ("5", "6"),
        ("1", r"\{x | x > 1\}"),
    ]
    assert [str(verdict) for verdict in pool.check(pairs)] == [
        *("wrong", "unparsable", "correct", "unparsable", "unparsable", "wrong", "wrong", "unparsable")
    ]


def test_a_reference_alone_is_asked_whether_it_can_be_parsed(pool: CheckerPool) -> None:
    answers = pool.check([(r"\sqrt{2}", None), ("???", None), ("", None), (r"\text{Monday}", None)])
    assert answers == [Verdict.correct, Verdict.unparsable, Verdict.unparsable, Verdict.correct]


@pytest.mark.parametrize(
    "text", ["\ud800", "\x00", "٣", "五", "🂡" * 300, "\\" * 900, "$" * 900, '\n["a", "b"]\n', "%%%"]
)
def test_garbage_is_judged_and_not_correct(pool: CheckerPool, text: str) -> None:
    before = processes(pool)
    assert pool.check([("12", text)])[0] in (Verdict.wrong, Verdict.unparsable)
    assert processes(pool) == before, "no process was lost over it"


def test_malicious_answers_time_out_while_others_are_checked() -> None:
    evil = [HANGS, "{" * 400 + "5" + "}" * 400, r"\frac{1}{" * 300 + "5" + "}" * 300, "10000000!", "2^{10^{12}}"]
    with CheckerPool(processes=2, time_limit_s=1.0) as pool:
        verdicts = pool.check([("5", answer) for answer in evil] + [("5", "5.0"), ("5", "4")])
        assert verdicts[-2:] == [Verdict.correct, Verdict.wrong]
        assert Verdict.correct not in verdicts[: len(evil)]
        assert verdicts[0] is Verdict.timed_out
        assert pool.check([("5", "5.0")]) == [Verdict.correct], "the pool goes on"


def test_a_process_may_have_no_more_memory_than_told() -> None:
    with CheckerPool(processes=1, time_limit_s=20.0, memory_limit_gib=1.5) as pool:
        pool.check([("5", "5.0")])
        (pid,) = processes(pool)
        (line,) = (line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "address space" in line)
        assert line.split()[3:5] == [str(3 * 2**29)] * 2


def test_a_process_that_was_killed_is_replaced() -> None:
    with CheckerPool(processes=1, time_limit_s=20.0) as pool:
        assert pool.check([("5", "5.0")]) == [Verdict.correct]
        (first,) = processes(pool)
        os.kill(first, signal.SIGKILL)
        while alive(first):
            time.sleep(0.01)
        assert pool.check([("5", "5.00")]) == [Verdict.correct]
        assert processes(pool) != [first]


def test_nothing_runs_before_the_first_check_or_after_the_last() -> None:
    pool = CheckerPool(processes=2)
    assert processes(pool) == []
    assert pool.check([("5", "5"), ("x", "x")]) == [Verdict.correct] * 2
    assert processes(pool) == [], "equal texts need no process"
    pool.check([("5", "5.0"), ("5", "6.0")])
    ids = processes(pool)
    assert len(ids) == 2
    pool.close()
    assert not any(alive(pid) for pid in ids)


def test_an_interrupted_check_leaves_no_reply_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with CheckerPool(processes=1, time_limit_s=20.0) as pool:
        pool.check([("5", "5.0")])
        (pid,) = processes(pool)

        def interrupt(checker: _Checker) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(_Checker, "reply", interrupt)
            with pytest.raises(KeyboardInterrupt):
                pool.check([("5", "6")])
        assert not alive(pid)
        assert pool.check([("5", "5.0")]) == [Verdict.correct]


def test_the_kernel_ends_a_check_that_hangs_whoever_is_left_to_wait_for_it() -> None:
    command = [sys.executable, "-P", str(WORKER), "1", str(2**31)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        print(json.dumps(["5", HANGS]), file=worker.stdin)
        assert worker.wait(120) == -signal.SIGPROF


def test_a_worker_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "math_verify"
    broken.mkdir()
    (broken / "__init__.py").write_text("from nowhere import parse\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(CheckerError, match="No module named 'nowhere'"), CheckerPool(1) as pool:
        pool.check([("5", "5.0")])


def test_a_math_verify_that_gets_everything_wrong_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with an antlr runtime of another version: every parse fails, and every reward would silently be 0."""
    broken = tmp_path / "math_verify"
    broken.mkdir()
    (broken / "__init__.py").write_text(
        "class LatexExtractionConfig:\n    def __init__(self, **options): ...\n"
        "def parse(*args, **options): return []\ndef verify(*args, **options): return False\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(CheckerError, match=r"does not find 1/2 equal to 0\.5"), CheckerPool(1) as pool:
        pool.check([("5", "5.0")])


def test_the_worker_is_a_script_that_imports_nothing_of_the_package() -> None:
    assert "trainer" not in "".join(line for line in WORKER.read_text().splitlines() if "import" in line.split(" ")[:1])

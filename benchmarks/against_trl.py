"""A training step beside TRL's: processor and wall seconds, by phase, and memory, on one work at a time.

    python -m benchmarks.against_trl CASE [--csv FILE] [--seconds 120] [--runs-dir runs] [--tiny]

CASE: `small` and `middle` are GRPO at 0.2 M and 4.2 M parameters on responses of exactly 48 tokens (`tiny` makes them
8), the same work on both sides, and one update is shown to be the same. `real` is the work of scale tiny on its trained
base: early ends, rejected samples; GRPO, RAFT++ and Reinforce-Rej, all beside TRL's GRPO. `smollm2` is GRPO on word
problems by the fetched SmolLM2-135M-Instruct, and left out where it has not been fetched. TRL is that of
`benchmarks.peer.environment`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.parts import LEFT_OUT
from benchmarks.peer.check import same_update
from benchmarks.peer.environment import cache_dir, trl_python
from benchmarks.peer.turns import Answer, rounds, sides
from benchmarks.peer.work import MIDDLE, SMALL, Work, never_ending
from benchmarks.results import PEAK, PROCESSOR, WALL, Writer, ratios, read, summary, values
from trainer.bases.ensure import ensure_base
from trainer.bases.given import given_model
from trainer.config import ModelConfig
from trainer.config.compose import compose
from trainer.errors import ConfigError
from trainer.policy.model import build_model, character_tokenizer

TRL = "TRL"
PART = "against_trl"
MOST = 200  # rounds


@dataclass(frozen=True)
class Case:
    """`algorithms` are ours; on `fixed` lengths every round's tokens must be TRL's."""

    name: str
    work: Work
    algorithms: tuple[str, ...] = ("grpo",)
    fixed: bool = False


def fixed_length(name: str, shape: ModelConfig, prompts: int, folder: Path, tiny: bool) -> Case:
    tokenizer = character_tokenizer()
    never_ending(build_model(shape, tokenizer, 0)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    work = Work(str(folder), "benchmarks.peer.work:Coin", prompts, n=4, length=48, updates=4)
    return Case(name, replace(work, prompts=4, length=8) if tiny else work, fixed=True)


def real(tiny: bool) -> Case:
    """The base is trained once and kept in the cache folder."""
    config = compose(["scale=tiny", *(["model.base.skill_steps=5", "model.base.habit_steps=1"] if tiny else [])])
    base = ensure_base(config, cache_dir() / "bases")
    rollout, optim = config.rollout, config.optim
    work = Work(
        str(base),
        "trainer.tasks.arithmetic:ArithmeticTask",
        rollout.prompts_per_step,
        rollout.n,
        rollout.max_response_length,
        config.trainer.updates_per_step,
        dict(config.task.params),
        lr=optim.lr / 10,  # so that no side learns much while it is measured: learning changes what there is to do
        weight_decay=optim.weight_decay,
    )
    return Case("real", replace(work, prompts=4, length=8) if tiny else work, ("grpo", "raftpp", "reinforce_rej"))


def smollm2(runs_dir: Path) -> Case | None:
    """None where the model has not been fetched."""
    try:
        folder = given_model(ModelConfig(fetched="smollm2_135m"), runs_dir)
    except ConfigError:
        return None
    work = Work(str(folder), "benchmarks.peer.work:Stories", prompts=4, n=4, length=24, updates=2, lr=1e-6)
    return Case("smollm2", work)


def chosen(name: str, folder: Path, runs_dir: Path, tiny: bool) -> Case | None:
    """None for a model that is not here. A model of random weights goes into `folder`."""
    match name:
        case "small":
            return fixed_length(name, SMALL, 64, folder, tiny)
        case "middle":
            return fixed_length(name, MIDDLE, 16, folder, tiny)
        case "real":
            return real(tiny)
        case _:
            return smollm2(runs_dir)


def measure(case: Case, peer: Path, seconds: float, scratch: Path, write: Writer) -> None:
    """Rounds in turns for about `seconds`, written as they come. Raises `RuntimeError` where fixed work differs."""
    file = str(case.work.write(scratch / "work.json"))
    commands: dict[str, Sequence[str]] = {
        name: [sys.executable, "-m", "benchmarks.peer.ours", file, name] for name in case.algorithms
    }
    commands[TRL] = [str(peer), "-m", "benchmarks.peer.theirs", file, str(MOST + 3)]
    with sides(commands, limit_s=300) as begun:
        held = {side.name: side.ready["held_mib"] for side in begun}
        for side in begun:
            write.add(case.name, side.name, "parameters", "", side.ready["parameters"])
        taken: dict[int, dict[str, Answer]] = {}
        for number, name, answer in rounds(begun, seconds, MOST):
            keep(write, case.name, name, number, answer, held[name])
            taken.setdefault(number, {})[name] = answer
            if case.fixed and len(taken[number]) == len(commands):
                check_tokens(taken[number], case.work)


def keep(write: Writer, case: str, side: str, number: int, answer: Answer, held: float) -> None:
    found = {
        PROCESSOR: ("s", answer["processor"]),
        WALL: ("s", answer["wall"]),
        **{phase: ("s", seconds) for phase, seconds in answer["phases"].items() if phase},
        PEAK: ("MiB", answer["peak_mib"]),
        "peak over what was held before": ("MiB", answer["peak_mib"] - held),
        **{name: ("", answer[name]) for name in ("prompt_tokens", "response_tokens", "trained_tokens", "updates")},
        "accuracy": ("", answer["accuracy"]),
    }
    write.add_all(case, side, found, number)


def check_tokens(taken: dict[str, Answer], work: Work) -> None:
    counts = {
        name: tuple(answer[key] for key in ("prompt_tokens", "response_tokens", "trained_tokens", "updates"))
        for name, answer in taken.items()
    }
    exact = work.prompts * work.n * work.length
    if len(set(counts.values())) > 1 or any(count[1] != exact for count in counts.values()):
        raise RuntimeError(f"not the same work, responses of {exact} tokens: {counts}")


def show(file: Path, case: Case) -> None:
    rows = read(file)
    theirs = {name: values(rows, PART, case.name, TRL, name) for name in (PROCESSOR, WALL)}
    for side in case.algorithms:
        for quantity in (PROCESSOR, WALL):
            found = summary(ratios(theirs[quantity], values(rows, PART, case.name, side, quantity)))
            print(
                f"{case.name}: TRL / {side}, {quantity}: {found.middle:.2f} ({found.low:.2f} to {found.high:.2f}), "
                f"{found.count} rounds"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=["small", "middle", "real", "smollm2"])
    parser.add_argument("--csv", type=Path, default=Path("against_trl.csv"))
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        case = chosen(given.case, folder / "model", given.runs_dir, given.tiny)
        if case is None:
            print(f"{LEFT_OUT}the model has not been fetched (minrl model fetch smollm2_135m)")
            return
        write, peer = Writer(given.csv, PART), trl_python()
        if case.fixed:
            same = same_update(case.work, peer, folder)
            write.add(case.name, "grpo", "loss against TRL's", "", same.loss)
            write.add(case.name, "grpo", "first gradient's norm against TRL's", "", same.norm)
            print(same)
            if not same.holds:
                raise SystemExit(f"the update is not TRL's: {same}")
        measure(case, peer, given.seconds, folder, write)
        show(given.csv, case)


if __name__ == "__main__":
    main()

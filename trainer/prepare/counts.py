"""What became of the rows of a source: each is counted once, under the first reason that holds, and some are named."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from trainer.errors import ConfigError

MOST_NAMED = 100  # rows a reason in the manifest; a look at them tells what a set is like, a list of all is no manifest
MOST_SHOWN = 80  # characters of an answer in a message

# Why a row is lost though nobody wished it away, as the table tells it. Overlap, repeats and length are wished away.
LOSSES = {
    "no_question": "without a question",
    "no_answer": "without an answer",
    "no_match": "no match of the answer pattern",
    "unparsable_gold": "answer not readable",
    "contradictory": "repeated with another answer",
}
DOUBTFUL = "kept, answer not readable"


@dataclass
class Counts:
    """Rows of the source. read = kept + the others; `overlap` tells it for each held-out set.

    `doubtful` ones are among those kept: only the very words of their reference answer them.
    """

    read: int = 0
    no_question: int = 0
    no_answer: int = 0
    no_match: int = 0
    overlap: dict[str, int] = field(default_factory=dict)
    too_long: int = 0
    unparsable_gold: int = 0
    contradictory: int = 0
    duplicates: int = 0
    kept: int = 0
    doubtful: int = 0


class Ledger:
    """The counts, and of each reason the first rows: their ids, and what stands where their answers should."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._named: dict[str, list[dict[str, str]]] = {}

    def name(self, why: str, id: str, answer: str) -> None:
        """Counts a row under `why`, a key of LOSSES or ``doubtful``, and names it."""
        setattr(self.counts, why, getattr(self.counts, why) + 1)
        named = self._named.setdefault(why, [])
        if len(named) < MOST_NAMED:
            named.append({"id": id, "answer": answer[:1000]})

    def told(self) -> dict[str, Any]:
        """For the manifest."""
        return {"counts": asdict(self.counts), "rows": self._named}

    def refuse_if_lost(self, most: float, where: str) -> None:
        """Raises `ConfigError` where nothing is kept, or more than the share `most` of the rows is lost."""
        counts = self.counts
        lost = {why: getattr(counts, why) for why in LOSSES}
        largest = max(lost, key=lambda why: lost[why])
        if not counts.kept:
            why = ", ".join(f"{reason}: {number}" for reason, number in reasons(counts).items() if number)
            told = f"{counts.read} read ({why or 'it is empty'}){self._example(largest)}"
            raise ConfigError(f"{where} has no problem to keep, of {told}")
        if (share := sum(lost.values()) / counts.read) > most:
            raise ConfigError(
                f"{where} would lose {sum(lost.values()):,} of {counts.read:,} rows, more than {most:.0%}, first "
                f"of all {lost[largest]:,} {LOSSES[largest]}{self._example(largest)}. "
                f"Is it another set? To leave them out all the same: --allow-loss {min(1.0, share + 0.01):.2f}"
            )

    def _example(self, why: str) -> str:
        """The first row of them that says anything; the end of what it says, where an answer stands."""
        answer = next((" ".join(row["answer"].split()) for row in self._named.get(why, []) if row["answer"]), None)
        if answer is None:
            return ""
        return f", such as {answer if len(answer) <= MOST_SHOWN else '...' + answer[-MOST_SHOWN:]!r}"


def reasons(counts: Counts) -> dict[str, int]:
    """Why rows were left out, and how many."""
    return {
        **{text: getattr(counts, why) for why, text in LOSSES.items()},
        "repeated question": counts.duplicates,
        **{f"question of {name}": number for name, number in counts.overlap.items()},
        "too long": counts.too_long,
    }

"""Which model is asked: of a folder, of a trial, a fetched one, of the hub; who it is, how long its texts may be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from transformers import AutoConfig, PreTrainedTokenizerBase

from trainer.config import ModelConfig, TrialConfig
from trainer.config.machine import check_model
from trainer.config.pretrained import KNOWN, place_of
from trainer.errors import ConfigError
from trainer.files import local_path
from trainer.policy.model import load_tokenizer
from trainer.record.directory import TrialRecord
from trainer.record.identity import base_hash


@dataclass(frozen=True)
class Subject:
    """`name` is what the user wrote, `place` what transformers loads; `trial` is set where it is a trial's policy."""

    name: str
    place: str
    trial: TrialRecord | None

    @cached_property
    def identity(self) -> str:
        """16 hex digits over the contents of a local model, or over the name of one of the hub."""
        return base_hash(TrialConfig(model=ModelConfig(path=self.place)))

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return load_tokenizer(self.place)

    @cached_property
    def positions(self) -> int | None:
        """Tokens of prompt and response together; None where the model's configuration does not say."""
        try:
            shape = AutoConfig.from_pretrained(self.place).get_text_config()
        except (OSError, ValueError, KeyError) as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise ConfigError(f"no model at {self.place}: {said[0]}") from error
        return getattr(shape, "max_position_embeddings", None)


def find_subject(model: str, runs_dir: Path) -> Subject:
    """A folder goes before a known model of that name, which lies in `runs_dir` once it has been fetched.

    Raises `ConfigError` where there is no such model, and for a trial that has not left one.
    """
    folder = local_path(model, "MODEL")
    if model in KNOWN and not folder.exists():
        check_model(TrialConfig(model=ModelConfig(fetched=model)), runs_dir)
        return Subject(model, str(place_of(model, runs_dir)), None)
    trial = TrialRecord(folder)
    if trial.exists:
        policy = folder / "policy"
        if not policy.is_dir():
            raise ConfigError(f"{model} has no policy/ yet ({_standing(trial)}): it is written when the trial is done")
        return Subject(model, str(policy), trial)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ConfigError(f"{model} holds neither config.json nor trial.json: give the folder of a model or of a trial")
    check_model(TrialConfig(model=ModelConfig(path=model)))
    return Subject(model, str(folder) if folder.is_dir() else model, None)


def refuse_same(one: Subject, other: Subject) -> None:
    """Raises `ConfigError` where both are one model: every difference would be the sampler's."""
    if one.identity == other.identity:
        raise ConfigError(f"--against: {one.name} and {other.name} are the same model ({one.identity}): give another")


def _standing(trial: TrialRecord) -> str:
    status = trial.status()
    return "not begun" if status is None else f"{status.state} at step {status.step} of {status.steps}"

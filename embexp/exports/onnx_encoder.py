"""Embeddings from an ONNX file: the loader that an export is checked with, and that its README shows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.errors import ExportError

if TYPE_CHECKING:
    import numpy

FAULTS = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented")
FAULTS += ("RuntimeException", "EPFail", "EngineError")


class OnnxEncoder:
    """An Encoder over an exported folder, by onnxruntime on the CPU: no torch.

    Args:
        folder: with the tokenizer's files.
        file: the graph, in that folder.
        max_tokens: longer texts are cut.
        default_prompt: what goes before every text where no prompt is given.
    """

    def __init__(self, folder: Path, file: str, max_tokens: int, default_prompt: str, threads: int | None) -> None:
        import onnxruntime
        from transformers import AutoTokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        with refused_by_onnxruntime(folder / file):
            self.session = onnxruntime.InferenceSession(str(folder / file), options, providers=["CPUExecutionProvider"])
        self.file = folder / file
        self.tokenizer = AutoTokenizer.from_pretrained(str(folder))
        self.inputs = [entry.name for entry in self.session.get_inputs()]
        self.max_tokens = max_tokens
        self.default_prompt = default_prompt

    def encode(self, texts: Sequence[str], prompt: str | None = None, batch_size: int = 64) -> "numpy.ndarray":
        """Embeddings in the order of the texts, float32 `(len(texts), dim)`."""
        import numpy

        before = self.default_prompt if prompt is None else prompt
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]), reverse=True)
        parts = [
            self._embed([before + texts[place] for place in order[start : start + batch_size]])
            for start in range(0, len(order), batch_size)
        ]
        return numpy.concatenate(parts)[numpy.argsort(order)]

    def _embed(self, texts: list[str]) -> "numpy.ndarray":
        tokens = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="np", verbose=False
        )
        with refused_by_onnxruntime(self.file):
            return self.session.run(None, {name: tokens[name].astype("int64") for name in self.inputs})[0]


@contextmanager
def refused_by_onnxruntime(file: Path) -> Iterator[None]:
    """Turns onnxruntime's errors, which share no class of their own, into one message.

    Raises:
        ExportError: onnxruntime cannot read, change or run the file.
    """
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    faults = [getattr(state, name) for name in FAULTS]
    try:
        yield
    except (*faults, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExportError(
            f"onnxruntime cannot use {file.name}: {reason} Expected a graph that it runs on this CPU: type pip install "
            "--upgrade onnxruntime onnx onnxscript. The trained model itself is whole: use it as it is."
        ) from error

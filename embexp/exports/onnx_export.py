"""The trained model as ONNX: written, compared with torch, quantised; and the encoder that runs it."""

import logging
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from embexp.core.arguments import COUNT, problems_with, refuse
from embexp.core.environment import lack_of, pip_install
from embexp.errors import ConfigError, ExportError
from embexp.exports.delivery import Exported, TrainedModel, metrics_and_lines
from embexp.models.encoding import ModelEncoder
from embexp.protocols import Encoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_OUTPUT = "sentence_embedding"
_ERRORS = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented")
_ERRORS += ("RuntimeException", "EPFail", "EngineError")


class _OnnxEncoder:
    """An Encoder over an exported folder, by onnxruntime on the CPU: no torch.

    Args:
        folder: with the tokenizer's files.
        file: the graph, in that folder.
        max_tokens: longer texts are cut.
        default_prompt: before every text if no prompt is given.
    """

    def __init__(self, folder: Path, file: str, max_tokens: int, default_prompt: str, threads: int | None) -> None:
        import onnxruntime
        from transformers import AutoTokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        with _onnxruntime_errors(folder / file):
            self.session = onnxruntime.InferenceSession(str(folder / file), options, providers=["CPUExecutionProvider"])
        self.file = folder / file
        self.tokenizer = AutoTokenizer.from_pretrained(str(folder))
        self.inputs = [entry.name for entry in self.session.get_inputs()]
        self.max_tokens = max_tokens
        self.default_prompt = default_prompt

    def encode(self, texts: Sequence[str], prompt: str | None = None, batch_size: int = 64) -> numpy.ndarray:
        """Embeddings in the order of the texts, float32 `(len(texts), dim)`."""
        before = self.default_prompt if prompt is None else prompt
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]), reverse=True)
        parts = [
            self._embed([before + texts[place] for place in order[start : start + batch_size]])
            for start in range(0, len(order), batch_size)
        ]
        return numpy.concatenate(parts)[numpy.argsort(order)]

    def _embed(self, texts: list[str]) -> numpy.ndarray:
        tokens = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="np", verbose=False
        )
        with _onnxruntime_errors(self.file):
            return self.session.run([_OUTPUT], {name: tokens[name].astype("int64") for name in self.inputs})[0]


@contextmanager
def _onnxruntime_errors(file: Path) -> Iterator[None]:
    """Turns onnxruntime's errors, which have no common class, into an ExportError."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    errors = [getattr(state, name) for name in _ERRORS]
    try:
        yield
    except (*errors, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExportError(
            f"onnxruntime cannot use {file.name}: {reason}",
            expected="a graph that it runs on this CPU",
            note="The trained model itself is whole: use it as it is.",
            fix=f"{pip_install()} --upgrade onnxruntime onnx onnxscript",
        ) from error


_FILE, _SMALL_FILE = "model.onnx", "model_int8.onnx"
_README = """# The model as ONNX

{lines}
These lines need onnxruntime and transformers, no torch:

```python
import onnxruntime
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")  # this folder
session = onnxruntime.InferenceSession("{file}", providers=["CPUExecutionProvider"])
texts = [{prompt!r} + text for text in texts]
tokens = tokenizer(texts, padding=True, truncation=True, max_length={max_tokens}, return_tensors="np")
(vectors,) = session.run(["sentence_embedding"], {{entry.name: tokens[entry.name] for entry in session.get_inputs()}})
```

`SentenceTransformer(<this folder>, backend="onnx")` takes the same file with an optimum-onnx that knows transformers 5;
0.1.0 does not. With transformers 4 sentence-transformers 5.4 to 5.7 load it, unless the model has a module Normalize.
"""


class OnnxExport:
    """An export that writes transformer, pooling and normalisation as one ONNX graph.

    The graph gives the vectors of the tokens, too: with the rest of the folder it is a model that
    `SentenceTransformer(folder, backend="onnx")` loads.

    Args:
        max_difference: the largest difference of an embedding's values to torch's; more raises.
        compared_texts: the number of the evaluators' texts on which the two are compared and timed.
        quantise: also write a file with int8 weights (onnxruntime's dynamic quantisation), and measure its loss.

    Raises:
        ConfigError: packages are missing, or an argument is invalid.
    """

    comes_last = False
    needs = ()

    def __init__(self, name: str, max_difference: float, compared_texts: int, quantise: bool) -> None:
        if lack := lack_of("onnx"):
            raise ConfigError(f"export={name} needs {lack.text}", fix=lack.fix)
        refuse(problems_with("compared_texts", compared_texts, COUNT, such_as=200), under=f"export.{name}")
        self.name, self.max_difference = name, max_difference
        self.compared_texts, self.quantise = compared_texts, quantise

    def make(self, trained: TrainedModel, folder: Path) -> Exported:
        """Write the graph and the tokenizer, compare with torch, quantise.

        Raises:
            ExportError: the model cannot be written, or its embeddings differ by more than `max_difference`.
        """
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(trained.folder), device="cpu").eval()
        for name in ("torch.onnx", "onnxscript", "onnx_ir"):  # notices of missing torchvision and the like
            logging.getLogger(name).setLevel(logging.ERROR)
        _write_graph(model, folder / _FILE)
        _copy_all_but_weights(trained.folder, folder)
        texts = trained.texts_to_compare(self.compared_texts)
        metrics, lines = self._faithful(model, folder, texts)
        if self.quantise:
            more, small_lines = self._quantised(trained, model, folder, texts)
            metrics, lines = metrics | more, lines + small_lines
        readme = _README.format(
            lines="".join(f"- {line}\n" for line in lines),
            file=_SMALL_FILE if self.quantise else _FILE,
            prompt=_default_prompt(model),
            max_tokens=model.max_seq_length,
        )
        (folder / "README.md").write_text(readme, encoding="utf-8")
        return Exported(self.name, folder, lines, metrics)

    def _faithful(
        self, model: "SentenceTransformer", folder: Path, texts: list[str]
    ) -> tuple[dict[str, float], list[str]]:
        expected, torch_seconds = _timed(ModelEncoder(model), texts)
        found, onnx_seconds = _timed(_encoder_of(model, folder, _FILE), texts)
        difference = float(abs(found - expected).max())
        if not difference <= self.max_difference:  # raises for nan, too
            raise ExportError(
                f"The ONNX file of export={self.name} gives embeddings that differ by {difference:.2g} from torch's on "
                f"{len(texts)} texts",
                expected=f"at most {self.max_difference:.2g} (export.{self.name}.max_difference)",
                note="It was not kept; the trained model itself is whole.",
            )
        megabytes, speed = _size_of(folder / _FILE), torch_seconds / onnx_seconds
        metrics = {"max_difference": difference, "megabytes": megabytes, "speed_ratio": speed}
        line = (
            f"{megabytes:.1f} MB, {speed:.1f} times as fast as torch on this CPU, "
            f"embeddings differ by at most {difference:.1g} ({len(texts)} texts)"
        )
        return {f"export/{self.name}/{key}": value for key, value in metrics.items()}, [line]

    def _quantised(
        self, trained: TrainedModel, model: "SentenceTransformer", folder: Path, texts: list[str]
    ) -> tuple[dict[str, float], list[str]]:
        with _onnxruntime_errors(folder / _FILE):
            _write_small(folder)
        encoder = _encoder_of(model, folder, _SMALL_FILE)
        speed = _timed(ModelEncoder(model), texts)[1] / _timed(encoder, texts)[1]
        prefix = f"export/{self.name}/int8_weights"
        metrics, kept = metrics_and_lines(trained, encoder, prefix)
        size = _size_of(folder / _SMALL_FILE)
        line = f"int8 weights: {size:.1f} MB, {speed:.1f} times as fast as torch on this CPU"
        return metrics | {f"{prefix}/megabytes": size, f"{prefix}/speed_ratio": speed}, [line, *kept]


_SAMPLE = ["a bond", "What does the price of a share depend on?"]  # two texts of different length


def _write_graph(model: "SentenceTransformer", path: Path) -> None:
    """Write the model to `path`, from token ids to embeddings; number of texts and of tokens may vary.

    Raises:
        ExportError: a model that does not begin with a transformer, or that torch cannot write.
    """
    import torch

    features = model.preprocess(_SAMPLE)
    inputs = [name for name, value in features.items() if isinstance(value, torch.Tensor)]
    if "attention_mask" not in inputs:
        raise ExportError(
            f"export=onnx writes models that begin with a transformer; this one begins with {type(model[0]).__name__}",
            expected="another model, or another export for smaller embeddings",
            fix="export=[int8]",
        )

    class OneGraph(torch.nn.Module):
        """The whole model as a function of the tokenizer's tensors."""

        def __init__(self) -> None:
            super().__init__()
            self.steps = torch.nn.ModuleList(model)

        def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            """The vectors of the tokens `(batch, tokens, dim)` and the embeddings `(batch, dim)`."""
            found = self.steps[0](dict(zip(inputs, tensors, strict=True)))
            of_tokens = found["token_embeddings"]
            for step in self.steps[1:]:
                found = step(found)
            return of_tokens, found[_OUTPUT]

    varying = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # torch's own, about itself
            torch.onnx.export(
                OneGraph().eval(),
                tuple(features[name] for name in inputs),
                str(path),
                input_names=inputs,
                output_names=["last_hidden_state", _OUTPUT],  # the former by the name that optimum looks for
                dynamic_shapes=(tuple(varying for _ in inputs),),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except RuntimeError as error:  # OnnxExporterError and what torch raises before it knows that it exports
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExportError(
            f"torch cannot write this model ({type(model[0]).__name__}) as ONNX: {reason}",
            expected="layers that torch.onnx.export knows",
            note="The trained model itself is whole.",
            fix="export=[int8]",
        ) from error


_NOT_COPIED = ("model*.safetensors", "pytorch_model*.bin", "adapter_model.*", "*.index.json", "README.md", ".*")


def _copy_all_but_weights(model: Path, folder: Path) -> None:
    """Copy a saved model without the weights of its transformer, which the graph holds; layers after it keep theirs."""
    left_out = shutil.ignore_patterns(*_NOT_COPIED)
    for path in sorted(model.iterdir()):
        if path.is_dir():
            shutil.copytree(path, folder / path.name)
        elif not left_out(str(model), [path.name]):
            shutil.copy(path, folder)


def _write_small(folder: Path) -> None:
    """Write the graph once more with int8 weights.

    Each output has a scale of its own: with one for a whole matrix, MiniLM's Spearman on the bundled corpus falls from
    0.3635 to 0.3457, with these it stays (0.3641). Seven bits, because sums of eight overflow on CPUs without VNNI.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    small = str(folder / _SMALL_FILE)
    quant_pre_process(str(folder / _FILE), small, skip_symbolic_shape=True)
    quantize_dynamic(small, small, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)


def _encoder_of(model: "SentenceTransformer", folder: Path, file: str) -> _OnnxEncoder:
    """The exported file as an Encoder, on as many threads as torch has."""
    import torch

    return _OnnxEncoder(folder, file, model.max_seq_length, _default_prompt(model), torch.get_num_threads())


def _default_prompt(model: "SentenceTransformer") -> str:
    """The model's own prompt before every text; often empty."""
    return model.prompts.get(model.default_prompt_name) or ""


def _timed(encoder: Encoder, texts: list[str]) -> tuple[numpy.ndarray, float]:
    """The embeddings and the seconds they took, after a first batch that is not timed."""
    encoder.encode(texts[:8])
    start = time.perf_counter()
    vectors = encoder.encode(texts)
    return vectors, time.perf_counter() - start


def _size_of(path: Path) -> float:
    """Megabytes of a file."""
    return path.stat().st_size / 1e6

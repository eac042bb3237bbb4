"""A trained model as one ONNX graph, from token ids to the embedding. Imported only when an export writes one."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from embexp.errors import ExportError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_OUTPUT = "sentence_embedding"
_SAMPLE = ["a bond", "What does the price of a share depend on?"]  # two texts of different length


class _OneGraph(torch.nn.Module):
    """The whole model (transformer, pooling, normalisation) as a function of the tokenizer's tensors.

    Args:
        inputs: names of the tensors, in the order in which `forward` takes them.
    """

    def __init__(self, model: "SentenceTransformer", inputs: list[str]) -> None:
        super().__init__()
        self.model = model
        self.inputs = inputs

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """The embeddings, `(batch, dim)`."""
        return self.model(dict(zip(self.inputs, tensors, strict=True)))[_OUTPUT]


def write_graph(model: "SentenceTransformer", path: Path) -> None:
    """Write the model to `path`; number of texts and of tokens may vary.

    Raises:
        ExportError: a model that does not begin with a transformer, or that torch cannot write.
    """
    features = model.preprocess(_SAMPLE)
    inputs = [name for name, value in features.items() if isinstance(value, torch.Tensor)]
    if "attention_mask" not in inputs:
        raise ExportError(
            f"export=onnx writes models that begin with a transformer; this one begins with {type(model[0]).__name__}",
            expected="another model, or another export for smaller embeddings",
            fix="export=[int8]",
        )
    varying = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # torch's own, about itself
            torch.onnx.export(
                _OneGraph(model, inputs).eval(),
                tuple(features[name] for name in inputs),
                str(path),
                input_names=inputs,
                output_names=[_OUTPUT],
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

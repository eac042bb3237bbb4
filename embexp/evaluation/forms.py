"""Forms in which embeddings are judged: at fewer dimensions, in fewer bits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embexp.errors import ConfigError, listed

if TYPE_CHECKING:
    import numpy

PRECISIONS = ("float32", "int8", "binary")


@dataclass(frozen=True)
class Form:
    """Embeddings cut to their first `dimensions` (None: all), then quantised."""

    dimensions: int | None = None
    precision: str = "float32"

    @property
    def suffix(self) -> str:
        """What metrics and columns of this form end in.

        >>> Form(64, "int8").suffix
        '_dim64_int8'
        """
        cut = f"_dim{self.dimensions}" if self.dimensions else ""
        return cut if self.precision == "float32" else f"{cut}_{self.precision}"

    def of(self, vectors: Mapping[str, "numpy.ndarray"]) -> Mapping[str, "numpy.ndarray"]:
        """The vectors of every column in this form, float32: int8 as -128 to 127, binary as -1 and 1.

        The ranges of int8 are those of all the vectors together. The cosine of binary ones is
        1 - 2 * Hamming distance / dimensions: it ranks as the Hamming distance does.
        """
        import numpy

        if self.dimensions:
            self._check(vectors)
            vectors = {column: values[:, : self.dimensions] for column, values in vectors.items()}
        if self.precision == "binary":
            return {column: numpy.where(values > 0, 1, -1).astype("float32") for column, values in vectors.items()}
        return _as_int8(vectors) if self.precision == "int8" else vectors

    def _check(self, vectors: Mapping[str, "numpy.ndarray"]) -> None:
        """Raise ConfigError where the embeddings have fewer dimensions."""
        known = min(values.shape[1] for values in vectors.values())
        if self.dimensions > known:
            raise ConfigError(
                f"dimensions={self.dimensions}: the model's embeddings have {known}. Expected at most so many: "
                f"leave {self.dimensions} out of dimensions."
            )


def _as_int8(vectors: Mapping[str, "numpy.ndarray"]) -> dict[str, "numpy.ndarray"]:
    import numpy
    from sentence_transformers.util import quantize_embeddings

    every = numpy.concatenate([*vectors.values()])
    ranges = numpy.stack([every.min(axis=0), every.max(axis=0)])
    return {
        column: quantize_embeddings(values, "int8", ranges=ranges).astype("float32")
        for column, values in vectors.items()
    }


def _listed(given: Any) -> list[Any]:
    """The values of a list, none of null, or a single value."""
    return [*given] if isinstance(given, list | tuple) else [] if given is None else [given]


def forms_of(name: str, dimensions: Sequence[int] | None, precisions: Sequence[str] | None) -> tuple[Form, ...]:
    """The embeddings as they are, then every other combination of what was asked for.

    Args:
        name: of the evaluator, for the message.

    Raises:
        ConfigError: lists every value that is none.
    """
    sizes, kinds = _listed(dimensions), _listed(precisions)
    wrong = [f"dimensions={value}" for value in sizes if type(value) is not int or value < 1]
    wrong += [f"precisions={value}" for value in kinds if value not in PRECISIONS]
    if wrong:
        raise ConfigError(
            f"evaluator.{name} has {listed(wrong)}. Expected dimensions of 1 or more, such as [256, 128, 64], "
            f"and precisions among {listed(PRECISIONS[1:])}."
        )
    cut = dict.fromkeys((None, *sizes))
    return tuple(Form(size, precision) for precision in dict.fromkeys(("float32", *kinds)) for size in cut)

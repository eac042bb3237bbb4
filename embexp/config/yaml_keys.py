"""The describing keys of the YAML groups (`_traits_`, `_reads_`, ...): which there are, their types, their meaning.

A YAML names a callable in `_target_` and gives its arguments. A key between underscores describes the call and is not
passed on. Each class below holds the describing keys of one group, without the underscores; `python -m embexp.config`
makes docs/yaml-keys.md from them.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from embexp.core.arguments import COUNT, LegalValues

# What a loss can be like, in the words of the catalogue and of messages.
TRAITS = {
    "in_batch_negatives": "takes the other rows of a batch as negatives",
    "compares_rows": "compares the rows of a batch",
    "gradient_cache": "embeds a batch twice",
    "owns_head": "trains a layer of its own",
    "owns_decoder": "trains a decoder",
    "owns_copy": "trains a copy of the model",
    "owns_temperature": "trains a temperature",
    "in_one_process": "needs all of a batch in one process",
}
_Trait = Literal[*TRAITS]
SHAPE_NAMES = ("scored_pair", "binary_pair", "class_pair", "positive_pair", "triplet", "labelled_text", "ranked")
SHAPE_NAMES += ("scored_triplet", "embedded_text", "text", "twin_text", "noised_text")
_Shape = Literal[*SHAPE_NAMES]
# Writing systems by the first and last of their characters; latin is what letters are that stand in none of these.
SCRIPTS = {
    "han": (("\u3400", "\u9fff"), ("\uf900", "\ufaff"), ("\U00020000", "\U0003ffff")),
    "kana": (("\u3040", "\u30ff"),),
    "hangul": (("\u1100", "\u11ff"), ("\uac00", "\ud7af")),
    "cyrillic": (("\u0400", "\u052f"),),
    "greek": (("\u0370", "\u03ff"), ("\u1f00", "\u1fff")),
    "arabic": (("\u0600", "\u06ff"), ("\u0750", "\u077f")),
    "hebrew": (("\u0590", "\u05ff"),),
    "devanagari": (("\u0900", "\u097f"),),
    "thai": (("\u0e00", "\u0e7f"),),
}
_Script = Literal["any", "latin", "other", *SCRIPTS]


@dataclass(frozen=True, kw_only=True)
class CallKeys:
    """Hydra's own keys, which every call may have.

    Attributes:
        target: the callable, as a dotted path.
        partial: true makes a function of the call, to be called later.
        recursive: false leaves the calls among the arguments for the callable to make.
        convert: how Hydra passes lists and mappings on; embexp passes plain ones in any case.
        args: arguments without a name, in their order.
    """

    what: ClassVar[str] = "this call"
    target: str = ""
    partial: bool = False
    recursive: bool = True
    convert: Literal["none", "partial", "object", "all"] = "all"
    args: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Needs:
    """What a loss or a modifier cannot do without (`_needs_`); what is left out is not needed.

    Attributes:
        transformer: the base model must be a transformer, not a table of token vectors.
        classes: the least number of classes that have `texts_per_class` rows.
        texts_per_class: the rows that a class must have to be of use.
        batch_size: the rows that a batch should have; fewer are a warning.
        masked_language_model: the argument that names such a model; its null stands for the base model.
        teacher_scores: raw means that the label must hold a score for each text, not the margins between them.
    """

    transformer: bool = False
    classes: int = 0
    texts_per_class: int = 0
    batch_size: int = 0
    masked_language_model: str = ""
    teacher_scores: Literal["raw"] | None = None


@dataclass(frozen=True, kw_only=True)
class LossOfShape:
    """A row of the table of `loss=auto` (`_by_shape_`).

    Attributes:
        shape: the shape of the data.
        loss: the option that is taken for it.
        because: the reason, for the log.
        label_names: the names that the classes must have; left out, any.
        others: losses to compare it with, which embexp.inspect proposes.
    """

    shape: _Shape
    loss: str
    because: str
    label_names: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModifierKeys(CallKeys):
    """The keys of a modifier.

    Attributes:
        refuses: the traits of losses that it does not compose with.
        needs: what it cannot do without.
        values: what its arguments may be, by argument.
        paper: who proposed it.
    """

    what: ClassVar[str] = "a modifier"
    refuses: tuple[_Trait, ...] = ()
    needs: Needs = field(default_factory=Needs)
    values: dict[str, LegalValues] = field(default_factory=dict)
    paper: str = ""


@dataclass(frozen=True, kw_only=True)
class LossKeys(CallKeys):
    """The keys of a loss, in a stage before the main one, too.

    Attributes:
        accepts: the shapes of data that it trains on, best first; a loss needs one.
        batch_sampler: how sentence-transformers fills a batch; no_duplicates is for in-batch negatives.
        max_negatives: the most negatives of a row that it reads; left out, any number.
        traits: what it is like. A trait with an argument counts where that argument is on.
        needs: what it cannot do without.
        values: what its arguments may be, by argument.
        companions: the arguments that name another model.
        trained_by: the class that trains a model with it, as a dotted path; left out, sentence-transformers' trainer.
        paper: who proposed it.
        by_shape: the table of a YAML that takes another loss, by the shape of the data.
        hint: what a message says where such a YAML is given arguments.
    """

    what: ClassVar[str] = "a loss"
    accepts: tuple[_Shape, ...] = ()
    batch_sampler: Literal["batch_sampler", "no_duplicates", "no_duplicates_hashed", "group_by_label"] = "batch_sampler"
    max_negatives: Annotated[int, COUNT] | None = None
    traits: tuple[_Trait | dict[_Trait, str], ...] = ()
    needs: Needs = field(default_factory=Needs)
    values: dict[str, LegalValues] = field(default_factory=dict)
    companions: tuple[str, ...] = ()
    trained_by: str = "embexp.training.embedding_training.EmbeddingTraining"
    paper: str = ""
    by_shape: tuple[LossOfShape, ...] = ()
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class StepKeys(CallKeys):
    """The keys of a step, of `silver` and of `negatives`.

    Attributes:
        makes: the shape of the rows that it makes; left out, its argument `shape`, or that of the rows it gets.
        trains_only: true for a step whose rows are for training alone; evaluators read the data without it.
        costly: true for a step that takes long or is paid for; all else of a run is checked before.
        last: true for a step that comes after all others, wherever it is typed.
    """

    what: ClassVar[str] = "a step"
    makes: _Shape = ""
    trains_only: bool = False
    costly: bool = False
    last: bool = False


@dataclass(frozen=True, kw_only=True)
class EvaluatorKeys(CallKeys):
    """The keys of an evaluator.

    Attributes:
        reads: the shapes of data that it reads, best first; [] for one that brings its own data.
        among: of `auto`: the evaluators of which it takes the first that reads the data.
    """

    what: ClassVar[str] = "an evaluator"
    reads: tuple[_Shape, ...]
    among: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _TrainerKeys(CallKeys):
    """The keys of a trainer.

    Attributes:
        data: what `paths.data` is unless it is typed; bundled for rows that come with embexp.
        model: the model that stands in for weights on the Hub.
    """

    what: ClassVar[str] = "a trainer"
    data: str = ""
    model: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelKeys(CallKeys):
    """The keys of a model, and of its adapter.

    Attributes:
        scripts: the writing systems that its tokenizer knows; any where it is made from the training texts.
        learning_rate: what suits a model of this kind: trainer.learning_rate where none is typed.
        language_model: true for one that was not yet trained to embed texts; others are proposed before it.
        source: the page that says what the keys after this one say.
        licence: of the weights, as the Hub names it; what it forbids is a warning before they are fetched.
        gated: true where the Hub gives the weights only to those who accepted the licence on that page.
        width: numbers in an embedding.
        length: the most tokens that it was made to read.
        loss: the loss that suits it, an option of the group loss.
    """

    what: ClassVar[str] = "a model"
    scripts: tuple[_Script, ...] = ()
    language_model: bool = False
    learning_rate: Annotated[float, LegalValues(above=0)] | None = None
    source: str = ""
    licence: str = ""
    gated: bool = False
    width: Annotated[int, COUNT] | None = None
    length: Annotated[int, COUNT] | None = None
    loss: str = ""


@dataclass(frozen=True, kw_only=True)
class TuneKeys(CallKeys):
    """The keys of a sampler or a pruner of `embexp.tune`.

    Attributes:
        paper: who proposed it.
    """

    what: ClassVar[str] = "a sampler or a pruner"
    paper: str = ""


# By the group that holds the YAMLs.
KEYS_OF_GROUPS: dict[str, type[CallKeys]] = {
    "loss": LossKeys,
    "modifier": ModifierKeys,
    "step": StepKeys,
    "evaluator": EvaluatorKeys,
    "model": ModelKeys,
    "trainer": _TrainerKeys,
    "tune": TuneKeys,
}


def keys_of(kind: type[CallKeys]) -> dict[str, dataclasses.Field]:
    """The describing keys as they are typed."""
    return {f"_{each.name}_": each for each in dataclasses.fields(kind)}


def own_keys(kind: type[CallKeys]) -> dict[str, dataclasses.Field]:
    """The describing keys of a group as they are typed, without Hydra's own."""
    return {key: each for key, each in keys_of(kind).items() if kind is CallKeys or key not in keys_of(CallKeys)}


def describes(key: str) -> bool:
    """Whether a key says something of the call (`_accepts_`) and is no argument of it."""
    return key.startswith("_") and key.endswith("_") and key not in ("_target_", "_partial_", "_args_", "_recursive_")

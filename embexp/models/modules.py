"""The modules that a stack may have, and which may follow which: each reads what the one before gives."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from embexp.core.arguments import LegalValues, problems_with_all
from embexp.errors import Problem, did_you_mean, listed

# What passes from one module to the next:
#   layers       the token vectors of all layers of a transformer
#   words        word vectors, with zeros for the padding
#   word_tokens  vectors made from these, with anything for the padding
#   tokens       token vectors of which the texts' lengths are not known
#   sentence     one vector for each text: what a model must give in the end
_PER_TOKEN = {"layers": "tokens", "words": "word_tokens", "word_tokens": "word_tokens", "tokens": "tokens"}
_SENTENCE = {"sentence": "sentence"}


@dataclass(frozen=True)
class _Kind:
    """What a module makes of what it reads."""

    flow: Mapping[str, str]  # what it gives, for each thing that it can read
    width: str | None = None  # the argument that says how wide its input is, filled in when left out
    trains: bool = False  # whether it has weights
    why: str = "it reads one vector for each text"  # why it reads nothing else
    draws: bool = False  # whether its weights begin at random


_OF_TOKENS = "it reads the vectors of tokens"
KINDS = {
    "Pooling": _Kind(dict.fromkeys(_PER_TOKEN, "sentence"), "embedding_dimension", why=_OF_TOKENS),
    "WeightedLayerPooling": _Kind(
        {"layers": "tokens"}, "embedding_dimension", True, "it reads all layers of the transformer before it"
    ),
    "CNN": _Kind(
        {"words": "word_tokens"},
        "in_embedding_dimension",
        True,
        "it reads the padding of a batch, so that a text's embedding would depend on the other texts of the batch, "
        "unless the padding is zero, as that of word_vectors and of an LSTM is",
        draws=True,
    ),
    "LSTM": _Kind(
        {"words": "words", "word_tokens": "words"},
        "embedding_dimension",
        True,
        "it needs the lengths of the texts, which sentence-transformers passes on for word vectors only",
        draws=True,
    ),
    "Dense": _Kind(_SENTENCE, "in_features", True, draws=True),
    "LayerNorm": _Kind(_SENTENCE, "dimension", True),
    "Dropout": _Kind(_SENTENCE),
    "Normalize": _Kind(_SENTENCE),
}
INPUTS = {"word_vectors": "words", "bag_of_words": "sentence", "static_vectors": "sentence"}
_REFUSED = {
    "WordWeights": "it trains its weights, but a saved model loads those that it began with",
    "Transformer": "name the transformer under base, as conf/model/minilm_dense.yaml does",
    "WordEmbeddings": "use embexp.models.words.word_vectors, whose padding stays zero",
    "BoW": "use embexp.models.words.bag_of_words, which takes its words from the training texts",
    "StaticEmbedding": "use embexp.models.words.static_vectors, or the model static",
}
_LIBRARY, _OWN = "sentence_transformers.sentence_transformer.modules.", "embexp.models.words."


def module_class(call: Mapping[str, Any]) -> str:
    """The last part of what a module's YAML calls."""
    return str(call.get("_target_")).rpartition(".")[2]


_Call = Mapping[str, Any]


@dataclass(frozen=True)
class _Passed:
    """The output of the modules so far: `given` is one of the words above, None before the first module."""

    given: str | None
    last: str
    trains: bool
    on_words: bool = False

    def after(self, call: _Call) -> "_Passed":
        """The output after one more module, which can read it."""
        kind = module_class(call)
        if kind in INPUTS:
            trains = kind == "static_vectors" or (kind == "word_vectors" and call.get("update_embeddings", True))
            return _Passed(INPUTS[kind], kind, trains, kind == "word_vectors")
        return _Passed(_flow(call)[self.given], kind, self.trains or KINDS[kind].trains, self.on_words)


def stack_problems(modules: Mapping[str, _Call], has_base: bool) -> Iterator[Problem]:
    """Why a stack cannot be trained, or would not be the same once saved and loaded.

    Args:
        modules: the call of each module, in their order.
        has_base: whether they follow a transformer.
    """
    passed = _Passed("layers", "the transformer", trains=True) if has_base else _Passed(None, "nothing", trains=False)
    for name, call in modules.items():
        key = f"model.modules.{name}"
        if problem := _unknown(call) or _misplaced(call, passed):
            text = f"is {call.get('_target_')}, after {passed.last}: {problem.text}"
            yield replace(problem, text=text, key=key)
            return
        yield from (problem.under(key) for problem in _argument_problems(call, passed))
        passed = passed.after(call)
    if passed.given != "sentence":
        text = f"ends with {passed.last}, which gives no vector for a text"
        yield Problem(text, "model.modules", expected="a Pooling at its end")
    elif not passed.trains:
        yield Problem("has nothing to train", "model.modules", expected="a module with weights: add a Dense")


def _flow(call: _Call) -> Mapping[str, str]:
    return _PER_TOKEN if call.get("module_input_name") == "token_embeddings" else KINDS[module_class(call)].flow


def _unknown(call: _Call) -> Problem | None:
    kind, target = module_class(call), str(call.get("_target_"))
    if kind in _REFUSED:
        return Problem(_REFUSED[kind])
    if target.startswith(_LIBRARY if kind in KINDS else _OWN) and (kind in KINDS or kind in INPUTS):
        return None
    return Problem(
        "a saved model could not be loaded without its code, or there is none",
        expected=f"{_LIBRARY}<one of {listed(KINDS)}> or {_OWN}<one of {listed(INPUTS)}>",
        note=did_you_mean(kind, (*KINDS, *INPUTS)),
    )


def _misplaced(call: _Call, passed: _Passed) -> Problem | None:
    kind = module_class(call)
    if (kind in INPUTS) != (passed.given is None):
        expected = f"one of {listed(INPUTS)} as the first module and nowhere else, or a base before all modules"
        return Problem("it is out of place", expected=expected)
    if kind not in INPUTS and passed.given not in _flow(call):
        return Problem(KINDS[kind].why, note="Leave it out, or put it elsewhere")
    return None


# One number is no direction: the cosine of any two texts is 1 or -1.
_WIDTHS = dict.fromkeys(
    ("out_features", "embedding_dimension", "hidden_dim", "out_channels", "vocabulary_size"),
    LegalValues(least=2, most=10**9, whole=True),
)
_SIZES = {**_WIDTHS, "max_seq_length": LegalValues(least=1, most=10**7, whole=True)}


def _argument_problems(call: _Call, passed: _Passed) -> Iterator[Problem]:
    yield from problems_with_all({key: legal for key, legal in _SIZES.items() if call.get(key) is not None}, call)
    modes = call.get("pooling_mode", ())
    modes = {modes} if isinstance(modes, str) else {*modes}
    if passed.on_words and (bad := modes & {"cls", "max"}):
        text = "does not go with word vectors: a text of unknown words only has no first and no largest one"
        expected, fix = "mean, mean_sqrt_len_tokens, weightedmean or lasttoken", ("pooling_mode=mean",)
        yield Problem(text, "pooling_mode", listed(sorted(bad)), expected, fix=fix)
    sizes, strides = call.get("kernel_sizes") or (), call.get("stride_sizes") or ()
    if any(size % 2 == 0 for size in sizes):
        text, fix = "was given; an even one changes a text's length", ("kernel_sizes=[1,3,5]",)
        yield Problem(text, "kernel_sizes", sizes, "odd ones", fix=fix)
    if any(stride != 1 for stride in strides):
        text, note = "was given; others than 1 change the length of a text", "Leave them out"
        yield Problem(text, "stride_sizes", strides, note=note)
    activation = call.get("activation_function")
    is_plain = isinstance(activation, Mapping) and [*activation] == ["_target_"]
    if activation is not None and not (is_plain and activation["_target_"].startswith("torch.nn.")):
        text = "was given; a saved model knows only the class, and only one of torch.nn"
        fix = ("'activation_function={_target_: torch.nn.GELU}'", "activation_function=null")
        yield Problem(text, "activation_function", activation, "it without arguments, or null for none", fix=fix)

"""Which modules may follow which: what a module reads must be what the one before gives, and survive saving."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from embexp.errors import did_you_mean, listed
from embexp.models.module_kinds import INPUTS, KINDS, LIBRARY, OWN, PER_TOKEN, REFUSED, class_of

Call = Mapping[str, Any]


@dataclass(frozen=True)
class Passed:
    """What came out of the modules so far: `given` is named in `module_kinds`, None before the first one."""

    given: str | None
    last: str
    trains: bool
    on_words: bool = False

    def after(self, call: Call) -> "Passed":
        """What comes out of one more module, which can read it."""
        kind = class_of(call)
        if kind in INPUTS:
            trains = kind == "static_vectors" or (kind == "word_vectors" and call.get("update_embeddings", True))
            return Passed(INPUTS[kind], kind, trains, kind == "word_vectors")
        return Passed(_flow(call)[self.given], kind, self.trains or KINDS[kind].trains, self.on_words)


def stack_misfits(modules: Mapping[str, Call], has_base: bool) -> Iterator[str]:
    """Why a stack cannot be trained, or would not be the same once saved and loaded; empty when it can.

    Args:
        modules: the call of each module, in their order.
        has_base: whether they follow a transformer.
    """
    passed = Passed("layers", "the transformer", trains=True) if has_base else Passed(None, "nothing", trains=False)
    for name, call in modules.items():
        if fault := _unknown(call) or _misplaced(call, passed):
            yield f"model.modules.{name} is {call.get('_target_')}, after {passed.last}: {fault}"
            return
        yield from (f"model.modules.{name}.{fault}" for fault in _argument_faults(call, passed))
        passed = passed.after(call)
    if passed.given != "sentence":
        yield f"model.modules ends with {passed.last}, which gives no vector for a text. Expected a Pooling at its end."
    elif not passed.trains:
        yield "Nothing in model.modules can be trained. Expected a module with weights: add a Dense."


def _flow(call: Call) -> Mapping[str, str]:
    return PER_TOKEN if call.get("module_input_name") == "token_embeddings" else KINDS[class_of(call)].flow


def _unknown(call: Call) -> str | None:
    kind, target = class_of(call), str(call.get("_target_"))
    if kind in REFUSED:
        return f"{REFUSED[kind]}."
    if target.startswith(LIBRARY if kind in KINDS else OWN) and (kind in KINDS or kind in INPUTS):
        return None
    return (
        f"a saved model could not be loaded without its code, or there is none. Expected {LIBRARY}<one of "
        f"{listed(KINDS)}> or {OWN}<one of {listed(INPUTS)}>. {did_you_mean(kind, (*KINDS, *INPUTS))}".strip()
    )


def _misplaced(call: Call, passed: Passed) -> str | None:
    kind = class_of(call)
    if (kind in INPUTS) != (passed.given is None):
        return f"Expected one of {listed(INPUTS)} as the first module and nowhere else, or a base before all modules."
    if kind not in INPUTS and passed.given not in _flow(call):
        return f"{KINDS[kind].why}. Leave it out, or put it elsewhere."
    return None


def _argument_faults(call: Call, passed: Passed) -> Iterator[str]:
    modes = call.get("pooling_mode", ())
    modes = {modes} if isinstance(modes, str) else {*modes}
    if passed.on_words and (bad := modes & {"cls", "max"}):
        yield (
            f"pooling_mode={listed(sorted(bad))} does not go with word vectors: a text of unknown words only has no "
            "first and no largest one. Type mean, mean_sqrt_len_tokens, weightedmean or lasttoken."
        )
    if any(size % 2 == 0 for size in call.get("kernel_sizes") or ()):
        yield f"kernel_sizes={call['kernel_sizes']}: an even one changes a text's length. Type odd ones, as [1, 3, 5]."
    if any(stride != 1 for stride in call.get("stride_sizes") or ()):
        yield f"stride_sizes={call['stride_sizes']}: others than 1 change the length of a text. Leave them out."
    activation = call.get("activation_function")
    if activation is not None and not _is_plain_activation(activation):
        yield (
            f"activation_function={activation}: a saved model knows only the class, and only one of torch.nn. "
            "Expected it without arguments: type {_target_: torch.nn.GELU}, or null for none."
        )


def _is_plain_activation(node: Any) -> bool:
    return isinstance(node, Mapping) and [*node] == ["_target_"] and node["_target_"].startswith("torch.nn.")

"""The other models that a loss reads, by what their files tell: whether they are what the loss takes them for."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from embexp.checks.findings import Findings
from embexp.errors import EmbexpError
from embexp.losses.companions import advice_for
from embexp.losses.spec import LossSpec
from embexp.models.model_files import fills_in_tokens, is_adapter, network_config
from embexp.models.places import LOCAL


def check_companions(spec: LossSpec, base: Mapping[str, str] | None) -> Findings:
    """A guide without a transformer, and a generator without a trained layer that fills in tokens.

    Args:
        base: where the base model's weights come from, which generate where no other model is named; None if unknown.
    """
    try:
        places = spec.locate()
    except EmbexpError as error:
        return Findings(errors=(str(error),))
    return Findings(errors=tuple(_guide_errors(spec, places)), warnings=tuple(_generator_warnings(spec, places, base)))


def _guide_errors(spec: LossSpec, places: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for key, place in places.items():
        folder = Path(place["location"])
        if place["source"] in LOCAL and not network_config(folder) and not is_adapter(folder):
            yield (
                f"loss.{key}={spec.call[key]} holds no transformer: no config.json there has a model_type. Expected a "
                f"model with one: {advice_for(key, spec.call)}"
            )


def _generator_warnings(
    spec: LossSpec, places: Mapping[str, Mapping[str, str]], base: Mapping[str, str] | None
) -> Iterator[str]:
    key = spec.needs.masked_language_model
    place = places.get(key, base) if key else None
    if place is None or place["source"] == "hub":
        return
    if place["source"] == "scratch" or fills_in_tokens(Path(place["location"])) is False:
        given = f"loss.{key}={spec.call[key]}" if key in places else f"loss.{key}=null, so the base model generates:"
        yield (
            f"{given} has no trained layer that fills in masked tokens, so loss={spec.name} trains on random "
            f"replacements, which are easy to detect. Expected a masked-language model: {advice_for(key, spec.call)}"
        )

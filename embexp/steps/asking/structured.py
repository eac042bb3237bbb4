"""Texts out of a model's answer: the schema that it must keep, and what is said when it does not."""

import functools
import json
from typing import TYPE_CHECKING, Any

from embexp.steps.asking.answers import Answer

if TYPE_CHECKING:
    from pydantic import BaseModel

SHOWN_FAULTS = 3


class MisfitError(Exception):
    """An answer that does not fit the schema; its message tells a model why."""


def response_format(num_texts: int) -> dict[str, Any]:
    """What asks a server to hold itself to the schema: `{"texts": [...]}` with so many texts."""
    schema = {"name": "texts", "strict": True, "schema": _schema(num_texts).model_json_schema()}
    return {"type": "json_schema", "json_schema": schema}


def texts_in(answer: Answer, num_texts: int) -> list[str]:
    """The texts of an answer, checked; what a model says around its JSON does not count.

    >>> texts_in(Answer('Sure: {"texts": ["a", "b "]}', 9, 9), 2)
    ['a', 'b']

    Raises:
        MisfitError: no JSON, or not so many texts with something in them, or one twice.
    """
    from pydantic import ValidationError

    start, end = answer.text.find("{"), answer.text.rfind("}") + 1
    try:
        given = json.loads(answer.text[start:end] if start >= 0 else answer.text)
        texts = [" ".join(text.split()) for text in _schema(num_texts).model_validate(given, strict=True).texts]
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:SHOWN_FAULTS]]
        raise MisfitError("; ".join(faults)) from error
    except (ValueError, RecursionError) as error:
        raise MisfitError("it is cut off" if answer.is_cut else "it is no JSON") from error
    if not all(texts):
        raise MisfitError("a text is empty")
    if len({text.casefold() for text in texts}) < num_texts:
        raise MisfitError("a text stands there twice")
    return texts


@functools.cache
def _schema(num_texts: int) -> "type[BaseModel]":
    from pydantic import ConfigDict, Field, create_model

    texts = (list[str], Field(min_length=num_texts, max_length=num_texts))
    model = create_model("Texts", __config__=ConfigDict(extra="forbid"), texts=texts)
    model.__doc__ = None
    return model

"""Prompts as templates: what is said to a model, with the texts of a row in their places."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from embexp.errors import did_you_mean, listed

ROLES = ("system", "user")
_PLACE = re.compile(r"\{([a-z_]+)\}")

Message = dict[str, str]


def messages_of(prompt: Mapping[str, str], values: Mapping[str, str]) -> list[Message]:
    """The messages of a chat, with values in place of `{names}`; braces around anything else stay.

    >>> messages_of({"user": 'Say {text} as {"texts": []}'}, {"text": "{text} twice"})
    [{'role': 'user', 'content': 'Say {text} twice as {"texts": []}'}]
    """

    def filled(template: str) -> str:
        return _PLACE.sub(lambda place: values.get(place[1], place[0]), template).strip()

    return [{"role": role, "content": filled(prompt[role])} for role in ROLES if prompt.get(role)]


def prompt_faults(prompt: Any, needed: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """What is wrong with a prompt, a line each.

    Args:
        needed: names of places that it must have.
        known: names of all places that are filled.
    """
    form = "prompt.system (or null) and prompt.user must be texts"
    if not isinstance(prompt, Mapping) or not {"user"} <= {*prompt} <= {*ROLES}:
        yield f"prompt={prompt!r}: {form}, and there is nothing else."
        return
    if not isinstance(prompt["user"], str) or not isinstance(prompt.get("system"), str | None):
        yield f"prompt={prompt!r}: {form}."
        return
    known = [*known]
    places = {place for text in prompt.values() for place in _PLACE.findall(text or "")}
    for name in sorted(places - {*known}):
        places_known = listed(f"{{{each}}}" for each in known)
        yield f"prompt has the place {{{name}}}. Places are: {places_known}. {did_you_mean(name, known)}".strip()
    for name in needed:
        if name not in places:
            yield f"prompt has no place for the {name}: write {{{name}}} where it shall stand."

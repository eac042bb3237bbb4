"""Reading a file as its user does: whatever the message says is typed, until the file is read."""

import shlex

from hydra.core.override_parser.overrides_parser import OverridesParser

from embexp.cli.quoting import quote_texts
from embexp.data.readers import read_files
from embexp.errors import EmbexpError


def options_of(fix):
    """The arguments of `read_files` that a hint sets."""
    options = {}
    for part in quote_texts(shlex.split(fix)):
        override = OverridesParser.create().parse_override(part)
        key, value = override.key_or_group, plain(override.value())
        if key == "dataset.shapes":
            options["shape"] = value[0]
        else:
            assert key.startswith("dataset.reader."), fix
            options[key.removeprefix("dataset.reader.")] = value
    return options


def plain(value):
    """A parsed value without Hydra's quotes."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    return getattr(value, "text", value)


def read_as_told(path, choice=0, **options):
    """The data set and the messages on the way; of several hints the one at `choice` is typed, or the last.

    Each hint must lead further: the same message twice fails.
    """
    messages: list[str] = []
    while True:
        try:
            return read_files(path, "mine", **options), messages
        except EmbexpError as error:
            refusal = error
        assert str(refusal) not in messages, str(refusal)
        messages.append(str(refusal))
        fixes = [fix for problem in refusal.problems for fix in problem.fix]
        assert fixes, str(refusal)
        options |= options_of(fixes[min(choice, len(fixes) - 1)])

"""A look at a data set before anything is trained on it, as text or JSON."""

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from embexp.core.escaping import say
from embexp.inspection.collect import bars_of

if TYPE_CHECKING:
    from embexp.data.dataset import EmbeddingDataset
    from embexp.models.tokens import UnknownTokens
    from embexp.protocols import BaseModel

_SHOWN_CHARS = 100  # of each text of an example
_KEY_WIDTH = 11


def _rendered(found: Mapping[str, Any], commands: Mapping[str, str]) -> str:
    """The inspection as paragraphs.

    Args:
        commands: what to type next, by what it does.
    """
    faults = [_line("faults", found["faults"])] if found["faults"] else []
    parts = (_head(found), faults, _lengths(found), _labels(found), _repeats(found), _examples(found))
    return "\n\n".join("\n".join(lines) for part in (*parts, _losses(found, commands)) if (lines := list(part)))


def _line(key: str, text: str) -> str:
    return f"{key:<{_KEY_WIDTH}}{text}"


def _head(found: Mapping[str, Any]) -> Iterator[str]:
    others = [shape for shape in found["offered_shapes"] if shape != found["shape"]]
    yield f"{found['name']} is {found['shape']}: {', '.join(found['columns'])}"
    if others:
        yield _line("also as", ", ".join(others))
    yield _line("rows", ", ".join(f"{split} {count:,}" for split, count in found["rows"].items()))
    if found["label_names"]:
        yield _line("classes", _shortened(", ".join(found["label_names"])))
    yield _line("source", str(found["source"].get("source", "")))
    if ignored := found["source"].get("ignored_columns"):
        yield _line("ignored", ignored if isinstance(ignored, str) else ", ".join(ignored))
    for note in str(found["source"].get("reading") or "").splitlines():
        yield _line("reading", note)
    for step in found["steps"]:
        yield _line("step", step)
    for place, line in enumerate(found.get("evaluated_on", ())):
        yield _line("" if place else "evaluated", line)


def _lengths(found: Mapping[str, Any]) -> Iterator[str]:
    width = max(len(column) for column in found["lengths"]) + 2
    header = f"{'':<{width}}{'shortest':>18}{'median':>9}{'95 %':>9}{'longest':>9}"
    for column, kinds in found["lengths"].items():
        for kind, lengths in kinds.items():
            if header:
                yield header
                header = ""
            yield (
                f"{column:<{width}}{kind:<10}{lengths['shortest']:>8,}{lengths['median']:>9,.0f}"
                f"{lengths['percentile_95']:>9,.0f}{lengths['longest']:>9,}  |{lengths['histogram']}|"
            )
    if any("tokens" in kinds for kinds in found["lengths"].values()):
        yield f"tokens as {found['tokens_of']} counts them"
    if found["not_counted"]:
        yield f"tokens are not counted: {found['not_counted']}"
    if found["unknown_tokens"]:
        shares = ", ".join(f"{split} {100 * share:.1f} %" for split, share in found["unknown_tokens"].items())
        yield f"unknown to {found['tokens_of']}: {shares} of the tokens"
    if found["models"]:
        yield f"models that read them: {', '.join(found['models'])}"


def _labels(found: Mapping[str, Any]) -> Iterator[str]:
    for split, counts in found["labels"].items():
        key = "labels" if split == next(iter(found["labels"])) else ""
        if found["shape"] == "scored_pair":
            yield _line(key, f"{split:<5} 0 |{bars_of(list(counts.values()))}| 1")
        else:
            total = max(sum(counts.values()), 1)
            parts = (f"{label} {count:,} ({count / total:.0%})" for label, count in counts.items())
            yield _line(key, f"{split}: {', '.join(parts)}")


def _repeats(found: Mapping[str, Any]) -> Iterator[str]:
    for comparison, reason in found["duplicates"].items():
        yield _line("duplicates" if comparison == "word for word" else "", f"{comparison}: {reason}")
    if len(found["rows"]) > 1 and not found["leaks"]:
        yield _line("leaks", f"none: {', '.join(found['rows'])} share no text")
    for place, line in enumerate(found["leaks"]):
        yield _line("" if place else "leaks", line)


def _examples(found: Mapping[str, Any]) -> Iterator[str]:
    names = found["label_names"]
    for place, row in enumerate(found["examples"]):
        for column, value in row.items():
            key = f"row {place + 1}" if column == next(iter(row)) else ""
            is_class = column == "label" and isinstance(value, int) and value < len(names)
            yield _line(key, f"{column}: {_shown(value)}" + (f" ({names[value]})" if is_class else ""))


def _shown(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], str):
        more = f" (and {len(value) - 1} more)" if len(value) > 1 else ""
        return f"{_shortened(value[0])!r}{more}"
    return repr(_shortened(value)) if isinstance(value, str) else _shortened(str(value))


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"


def _losses(found: Mapping[str, Any], commands: Mapping[str, str]) -> Iterator[str]:
    fits = found["losses"]
    yield _line("losses", f"as it is: {', '.join(fits['directly']) or 'none'}")
    for route in dict.fromkeys(fits["converted"].values()):
        yield _line("", f"{route}: {', '.join(name for name, other in fits['converted'].items() if other == route)}")
    for keys in dict.fromkeys(fits["given"].values()):
        yield _line("", f"with {keys}: {', '.join(name for name, other in fits['given'].items() if other == keys)}")
    for what, command in commands.items():
        yield _line(what, command or found["cannot_train"])
    if "compare" in commands:
        minutes = found["compare_minutes"]
        yield _line("", "how long that takes: measure=true" if minutes is None else _time_of(minutes))


def _time_of(minutes: float) -> str:
    """How long a sweep trains.

    >>> _time_of(0.3), _time_of(200)
    ('trains for under a minute here, evaluation aside (measured on a few batches)', \
'trains for about 200 minutes here, evaluation aside (measured on a few batches)')
    """
    shown = "under a minute" if minutes < 1 else f"about {minutes:.0f} minute{'s' if minutes >= 1.5 else ''}"
    return f"trains for {shown} here, evaluation aside (measured on a few batches)"


_FORMATS = ("text", "json")


def inspect_command() -> None:
    """`python -m embexp.inspect`: compose the configuration and show the data set that it describes."""
    from embexp.cli.app import run_command

    typed = sys.argv[1:]

    def task(config: DictConfig, choices: dict[str, Any], _folder: Path) -> None:
        from embexp.core.escaping import output_console

        text, console = inspect(config, choices, typed), output_console()
        say("\n".join(_fitted(text, console.width)) if console.is_terminal and config.format == "text" else text)

    run_command(task, "inspect")


def _fitted(text: str, width: int) -> Iterator[str]:
    """The lines for a terminal: without the bars that do not fit, long lists below their beginning.

    Lines with something to type stay whole, so that they can be copied.
    """
    from rich.cells import cell_len

    for line in text.splitlines():
        if cell_len(line) <= width or "=" in line:
            yield line
        elif line.endswith("|") and "  |" in line:
            yield line.partition("  |")[0]
        else:
            part = line[:_KEY_WIDTH]
            for word in line[_KEY_WIDTH:].split(" "):
                is_new = part[_KEY_WIDTH:].strip() and cell_len(f"{part} {word}") > width
                if is_new:
                    yield part
                part = _line("", word) if is_new else f"{part}{' ' * (len(part) > _KEY_WIDTH)}{word}"
            yield part


def inspect(config: DictConfig, choices: dict[str, Any], typed: Sequence[str] = ()) -> str:
    """What the data set shows without training, as text or JSON.

    Args:
        typed: the command line, for the commands that are suggested.

    Raises:
        EmbexpError: the data cannot be read at all; rows that cannot be used are counted and shown instead.
    """
    from embexp.config.compose import instantiate, resolve
    from embexp.config.session import shell_command
    from embexp.core.arguments import COUNT_FROM_0, LegalValues, problems_with, refuse
    from embexp.data.faults import FaultLog
    from embexp.experiment.datasets import DataBuilder, dataset_name, offered_shapes
    from embexp.experiment.evaluation_data import SPLIT
    from embexp.inspection.collect import inspection_of
    from embexp.inspection.suggestions import MODEL_KEYS, first_grid, kept, training_command

    resolved = resolve(config)
    refuse(
        (
            *problems_with("format", resolved["format"], LegalValues(one_of=_FORMATS), such_as="text"),
            *problems_with("examples", resolved["examples"], COUNT_FROM_0, such_as=3),
        )
    )
    node, steps = dict(resolved["dataset"]), resolved["steps"]
    name, settings = dataset_name(node, choices), instantiate(resolved["conversion"])
    start = node["shapes"][0] if node["shapes"] else None
    if "on_fault" in node["reader"]:
        FaultLog(node["reader"]["on_fault"])  # refused as a run refuses it
    reader = node["reader"] | ({"on_fault": "drop"} if "on_fault" in node["reader"] else {})  # faulty rows are counted
    as_it_is = node | {"reader": reader, "steps": node["steps"] if steps else {}}
    dataset = DataBuilder(settings, None).read(as_it_is, name, start)
    offered = (offered_shapes(node) if steps else node["shapes"]) or [dataset.shape.name]
    model, place, not_counted = _located(resolved["model"])
    found = inspection_of(dataset, offered, settings, _token_counter(model, place), resolved["examples"])
    found["not_counted"] = not_counted
    found["evaluated_on"] = _evaluated_on(resolved, settings)
    name_of_model = str(choices.get("model") or "")
    unknown = _unknown_tokens(model, place, dataset)
    found["tokens_of"] = Path(resolved["model"]["path"]).name if name_of_model == "pretrained" else name_of_model
    found["unknown_tokens"] = {split: each.share for split, each in unknown.items()}
    others = _better_readers(unknown, dataset, found["tokens_of"])
    found["models"] = others
    lenient = ["dataset.reader.on_fault=drop"] if found["faults"] and node["reader"]["on_fault"] == "stop" else []
    is_split = any((step or {}).get("_target_") == SPLIT for step in (node["steps"] or {}).values())
    typed_for_run = [*_with_reader(kept(typed, MODEL_KEYS), others), *lenient]
    commands = {
        "train": training_command(typed_for_run, dataset, offered, settings, is_split),
        "prepare": shell_command("prepare", map(shlex.quote, [*kept(typed), *lenient])),
    }
    if grid := first_grid(dataset, offered, settings):
        commands["compare"] = grid.command(typed_for_run, dataset, offered, settings, is_split)
        found["compare_minutes"] = grid.minutes(dataset) if resolved["measure"] else None
    if resolved["format"] == "json":
        return json.dumps(found | {"commands": commands}, ensure_ascii=False, indent=2)
    return _rendered(found, commands)


def _evaluated_on(resolved: dict[str, Any], settings: Any) -> list[str]:
    """What the data named by `test` and `dev` are, a line each, with what evaluates a model by them."""
    from embexp.experiment.datasets import DataBuilder
    from embexp.experiment.evaluation_data import at_place, given_data, looked_at, name_of_data
    from embexp.experiment.routing import fitting_evaluators

    lines = []
    for key, node in given_data(resolved).items():
        with at_place(key):
            rows = looked_at(node, name_of_data(key, node), DataBuilder(settings, None), most=None)
        shapes = node["shapes"] or [rows.shape.name]
        fitting = fitting_evaluators(shapes, settings, rows.label_names)
        several = len(rows.splits) > 1
        counts = ", ".join(f"{split} " * several + f"{each.num_rows:,}" for split, each in rows.splits.items())
        by = f"evaluated by {fitting[0]}" if fitting else "by which no model can be evaluated"
        lines.append(f"{key}: {rows.name} is {', '.join(shapes)}, {by}; rows {counts}")
        notes = str(rows.provenance.get("reading") or "").splitlines()
        lines += [note.replace("dataset.reader.", f"{key}.reader.") for note in notes]
    return lines


def _located(model_node: dict[str, Any]) -> tuple["BaseModel", Mapping[str, str], str]:
    """The model, where its weights are, and why they are not here where that is for want of their package."""
    from embexp.config.compose import instantiate
    from embexp.models.weights import WeightsNotInstalledError

    model = instantiate(model_node)
    try:
        return model, model.locate(), ""
    except WeightsNotInstalledError as error:
        return model, {"source": "hub"}, str(error)


def _unknown_tokens(
    model: "BaseModel", place: Mapping[str, str], dataset: "EmbeddingDataset"
) -> dict[str, "UnknownTokens"]:
    """What a local model does not know of each split; empty where only loading it shows that."""
    from embexp.experiment.unknown_tokens import sampled_texts
    from embexp.models.tokens import unknown_by_files

    count = unknown_by_files(model, place)
    return {split: count(sampled_texts(dataset, split)) for split in dataset.splits} if count else {}


def readers_of(model_node: dict[str, Any], dataset: "EmbeddingDataset", name: str) -> list[str]:
    """Models that read the texts, where a run would refuse the one of that name; else none."""
    model, place, _ = _located(model_node)
    return _better_readers(_unknown_tokens(model, place, dataset), dataset, name)


def _better_readers(unknown: dict[str, "UnknownTokens"], dataset: "EmbeddingDataset", name: str) -> list[str]:
    """Models that read the texts, where a run would refuse this one; those that need no network first."""
    from omegaconf import OmegaConf

    from embexp.config.session import conf_dir
    from embexp.experiment.unknown_tokens import sampled_texts
    from embexp.models.tokens import models_for, scripts_of

    most = OmegaConf.load(conf_dir() / "config.yaml")["max_unknown_tokens"]
    if not any(each.share > most for each in unknown.values()):
        return []
    texts = (text for split in unknown for text in sampled_texts(dataset, split))
    return [other for other in models_for(scripts_of(texts)) if other != name]


def _token_counter(model: "BaseModel", place: Mapping[str, str]) -> Callable[[Sequence[str]], list[int]] | None:
    """A function that counts tokens with the tokenizer of a local model; None if there is none."""
    from embexp.models.tokens import token_limit

    limit = token_limit(model, place)
    return (lambda texts: limit.num_tokens(texts)) if limit else None


def _with_reader(typed: Sequence[str], models: Sequence[str]) -> list[str]:
    """The overrides with the first of these models in place of one that cannot read the data; as they are without any.

    >>> _with_reader(["dataset=a.csv", "model=minilm", "model.num_layers=3"], ["tiny", "bge_small_zh"])
    ['dataset=a.csv', 'model=tiny']
    """
    others = [text for text in typed if re.split(r"[.=@/]", text.lstrip("+~"))[0] != "model"]
    return [*others, f"model={models[0]}"] if models else [*typed]

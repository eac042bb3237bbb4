"""The most similar pairs in a file of texts: read with their lines, encoded once each, mined, shown and written."""

import json
import logging
import math
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from embexp.core.arguments import COUNT, COUNT_FROM_0, LegalValues, problems_with, refuse
from embexp.core.escaping import report_csv, say
from embexp.errors import ConfigError, DataError, listed

if TYPE_CHECKING:
    import numpy

_COLUMNS = ("text_a", "text_b", "score", "line_a", "line_b")
_ENDINGS = (".csv", ".jsonl")
_MOST = 10**6  # pairs: so many are held at once
_QUERIES, _DOCUMENTS = 500, 20_000  # texts that are compared at a time: 40 MB of scores
_LEAST_NEIGHBOURS = 100
_TEXT_COLUMN = "text"
_SAMPLED = 1_000  # values of a column that say whether it holds texts
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Texts:
    """The distinct texts with the places where each stands, in the order of the file.

    Attributes:
        places: numbers of lines (rows in Parquet); with the file's or the split's name where there are several.
        column: that was read.
        empty: rows without a text.
    """

    places: Mapping[str, list[int | str]]
    column: str
    empty: int

    @property
    def repeated(self) -> int:
        """How many rows hold a text that an earlier one holds."""
        return sum(len(each) - 1 for each in self.places.values())


def pairs_command() -> None:
    """`python -m embexp.pairs`: compose the configuration, find the pairs, print the first and write all."""
    from embexp.cli.app import run_command

    def task(config: DictConfig, choices: dict[str, Any], _folder: Path) -> None:
        from embexp.core.escaping import output_console

        say(pairs(config, choices, output_console().width)[1])

    run_command(task, "pairs")


def pairs(config: DictConfig, choices: Mapping[str, Any], width: int = 120) -> tuple[list[dict[str, Any]], str]:
    """The pairs, the most similar first, and what a person reads of them; written to `output`, too.

    Args:
        width: columns that a line may have.

    Raises:
        EmbexpError: the texts cannot be read, there are too few, or the model cannot encode them.
    """
    from embexp.config.compose import instantiate, resolve
    from embexp.experiment.datasets import dataset_name

    resolved = resolve(config)
    _check(resolved)
    name = Path(str(resolved["dataset"]["reader"].get("path", ""))).name or dataset_name(resolved["dataset"], choices)
    texts = _read(resolved["dataset"], name, resolved["column"], instantiate(resolved["conversion"]))
    if len(texts.places) < 2 and not (resolved["duplicates"] and texts.repeated):
        held = f"one text, in {_counted(texts.repeated + 1, 'row')}" if texts.places else "no text"
        raise DataError(f"{name} holds {held}", expected="two different texts at least")
    began = time.perf_counter()
    vectors, device = _encoded(resolved, [*texts.places], str(choices.get("model") or "model"))
    encoded = time.perf_counter()
    found = [*_found(texts, vectors, device, resolved)]
    seconds = encoded - began, time.perf_counter() - encoded
    lines = [*_lines(texts, found, resolved, name, seconds, width)]
    if resolved["output"]:
        _write(Path(resolved["output"]), found)
        lines.append(f"{'written':<11}{_counted(len(found), 'pair')} to {resolved['output']}")
    return found, "\n".join(lines)


def _check(resolved: Mapping[str, Any]) -> None:
    """Refuse values that cannot be, and an output that is there, before anything is read."""
    score = LegalValues(least=-1, most=1, optional=True)
    refuse(
        (
            *problems_with("top", resolved["top"], LegalValues(least=1, most=_MOST, whole=True), such_as=100),
            *problems_with("shown", resolved["shown"], COUNT_FROM_0, such_as=10),
            *problems_with("min_score", resolved["min_score"], score, such_as=0.8),
            *(problems_with("threads", resolved["threads"], COUNT, "null") if resolved["threads"] is not None else ()),
        )
    )
    if resolved["output"] is None:
        return
    output = Path(resolved["output"])
    if output.suffix.lower() not in _ENDINGS:
        fix = f"output={shlex.quote(str(output.with_suffix('.csv')))}" if output.name else "output=pairs.csv"
        expected = f"a name that ends in one of: {listed(_ENDINGS)}"
        raise ConfigError("cannot be written", key="output", given=str(output), expected=expected, fix=fix)
    if output.exists() and not resolved["overwrite"]:
        other = shlex.quote(str(output.with_stem(f"{output.stem}_2")))
        fix = ("overwrite=true", f"output={other}")
        expected = "a new file, or to overwrite it"
        raise ConfigError("is there already", key="output", given=str(output), expected=expected, fix=fix)


def _read(node: Mapping[str, Any], name: str, column: str | None, settings: Any) -> _Texts:
    """The texts of a file with their lines, those of any other data set with their rows."""
    from embexp.data.readers import read_files
    from embexp.data.storage import is_prepared

    reader, place = node["reader"], Path(str(node["reader"].get("path") or ""))
    is_file = reader["_target_"].rpartition(".")[2] == read_files.__name__
    if is_file and not is_prepared(place.expanduser()):
        return _with_lines(place.expanduser(), reader, column)
    return _with_rows(node, name, column, settings)


def _with_lines(path: Path, reader: Mapping[str, Any], column: str | None) -> _Texts:
    from embexp.data.faults import FaultLog
    from embexp.data.formats import chunks_of
    from embexp.data.sources import split_files
    from embexp.data.text_files import FileOptions

    faults = FaultLog(reader["on_fault"])
    options = FileOptions(**{key: reader[key] for key in ("encoding", "header", "quote", "delimiter")})
    refuse(options.problems(), under="dataset.reader")
    files = [file for of_split in split_files(path)[0].values() for file in of_split]
    rows: list[tuple[int | str, Any]] = []
    for file in files:
        left = reader["max_rows"]
        for chunk in chunks_of(file, options, faults):
            column = column or _only_column(chunk.columns, file)
            _check_column(column, chunk.columns, file)
            values = chunk.columns[column]
            values = values.to_pylist() if hasattr(values, "to_pylist") else values
            named = [f"{file.name}:{place}" for place in chunk.places] if len(files) > 1 else chunk.places
            rows += [*zip(named, values, strict=True)][:left]
            left = None if left is None else max(0, left - len(values))
    faults.settle(len(rows))
    return _collected(rows, column or _TEXT_COLUMN)


def _with_rows(node: Mapping[str, Any], name: str, column: str | None, settings: Any) -> _Texts:
    """The same of a data set that is no file of one's own, as it is without its steps."""
    from embexp.experiment.datasets import DataBuilder

    shapes = node["shapes"] or [None]
    shape = _TEXT_COLUMN if _TEXT_COLUMN in shapes and column in (None, _TEXT_COLUMN) else shapes[0]
    dataset = DataBuilder(settings, None).read({**node, "steps": {}}, name, shape)
    rows: list[tuple[int | str, Any]] = []
    for split, of_split in dataset.splits.items():
        column = column or _only_column({each: of_split[:_SAMPLED][each] for each in of_split.column_names}, name)
        _check_column(column, of_split.column_names, name)
        before = f"{split}:" if len(dataset.splits) > 1 else ""
        numbered = (f"{before}{row}" if before else row for row in range(1, of_split.num_rows + 1))
        rows += zip(numbered, of_split[column][:], strict=True)
    return _collected(rows, column or _TEXT_COLUMN)


def _only_column(columns: Mapping[str, Any], source: Any) -> str:
    """The column of texts, where only one can be: one called text, or the only one that holds more than numbers."""
    texts = [name for name, values in columns.items() if _are_texts(values)]
    if _TEXT_COLUMN in texts or len(texts) == 1:
        return _TEXT_COLUMN if _TEXT_COLUMN in texts else texts[0]
    text = f"holds the columns {listed(columns)}" + ("" if texts else ", none of texts")
    fix = tuple(f"column={shlex.quote(each)}" for each in texts or columns)
    raise DataError(text, file=source, expected="to know which one holds the texts", fix=fix)


def _are_texts(values: Any) -> bool:
    some = values[:_SAMPLED].to_pylist() if hasattr(values, "to_pylist") else values[:_SAMPLED]
    filled = [each for each in some if each not in (None, "", [])]
    return any(isinstance(each, list) or (isinstance(each, str) and not _is_number(each)) for each in filled)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_column(column: str, columns: Sequence[str] | Mapping[str, Any], source: Any) -> None:
    from embexp.errors import did_you_mean

    if column not in columns:
        near, fix = did_you_mean(column, columns), tuple(f"column={shlex.quote(each)}" for each in columns)
        text, expected = f"is no column of {source}", f"one of: {listed(columns)}"
        raise ConfigError(text, key="column", given=column, expected=expected, note=near, fix=fix)


def _collected(rows: Sequence[tuple[int | str, Any]], column: str) -> _Texts:
    """The distinct texts; of a list of texts each counts."""
    places: dict[str, list[int | str]] = {}
    empty = 0
    for place, value in rows:
        filled = [str(text) for text in (value if isinstance(value, list) else [value]) if text is not None]
        filled = [text for text in filled if text.strip()]
        empty += not filled
        for text in filled:
            places.setdefault(text, []).append(place)
    return _Texts(places, column, empty)


def _encoded(resolved: Mapping[str, Any], texts: list[str], name: str) -> tuple["numpy.ndarray", str]:
    """The embeddings, and the device that they were made on; those of a local model are kept in `paths.cache`."""
    from embexp.config.compose import instantiate
    from embexp.core.run_context import import_training_libraries
    from embexp.experiment.cache_size import bounded_cache
    from embexp.experiment.scoring import base_encoder
    from embexp.experiment.unknown_tokens import evaluation_warnings
    from embexp.models.tokens import unknown_by_model

    model = instantiate(resolved["model"])
    import_training_libraries()
    model.check()
    place = model.locate()
    import torch
    import transformers

    if resolved["threads"]:
        torch.set_num_threads(resolved["threads"])
    transformers.set_seed(resolved["seed"])
    with TemporaryDirectory() as folder:  # for a model that is made here
        loaded = model.load(lambda: texts, Path(folder)).eval()
        if count := unknown_by_model(loaded):
            for warning in evaluation_warnings({"the texts": count(texts)}, name, texts):
                logger.warning("%s", warning)
        encoder = base_encoder(resolved, place, loaded, progress="encoding")
        with bounded_cache(resolved):
            return encoder.encode(texts, resolved["prompt"]), str(loaded.device)


def _found(
    texts: _Texts, vectors: "numpy.ndarray", device: str, resolved: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """At most `top` pairs; identical texts first, where they count."""
    distinct, top, least = [*texts.places], resolved["top"], resolved["min_score"]
    left = top
    if resolved["duplicates"]:
        for text, (first, *others) in texts.places.items():
            for other in others[:left]:
                yield dict(zip(_COLUMNS, (text, text, 1.0, first, other), strict=True))
            left -= len(others[:left])
    for score, first, second in _mined(vectors, left, device) if left and len(distinct) > 1 else ():
        if least is None or score >= least:
            place_a, place_b = (texts.places[distinct[each]][0] for each in (first, second))
            values = distinct[first], distinct[second], round(score, 6), place_a, place_b
            yield dict(zip(_COLUMNS, values, strict=True))


def _mined(vectors: "numpy.ndarray", top: int, device: str) -> Iterator[tuple[float, int, int]]:
    """The pairs with the highest cosine, best first.

    A pair is missed only if both of its texts have `top_k` neighbours that are nearer, so if 2 * top_k pairs are
    better: with half of `top` as top_k none is.
    """
    import torch
    from sentence_transformers.util import paraphrase_mining_embeddings

    neighbours = min(max(_LEAST_NEIGHBOURS, math.ceil(top / 2)), len(vectors) - 1)
    mined = paraphrase_mining_embeddings(
        torch.from_numpy(vectors).to(device),
        query_chunk_size=_QUERIES,
        corpus_chunk_size=_DOCUMENTS,
        max_pairs=top,
        top_k=neighbours,
    )
    for score, first, second in mined:
        yield max(-1.0, min(1.0, score)), min(first, second), max(first, second)


def _lines(
    texts: _Texts,
    found: Sequence[Mapping[str, Any]],
    resolved: Mapping[str, Any],
    name: str,
    seconds: tuple[float, float],
    width: int,
) -> Iterator[str]:
    """What was read, the first pairs, how long it took."""
    from embexp.reports.tables import shortened

    number = len(texts.places)
    left_out = [f"{_counted(texts.empty, 'row')} without a text"] if texts.empty else []
    if texts.repeated and not resolved["duplicates"]:
        left_out.append(
            f"{_counted(texts.repeated, 'row')} with the text of an earlier one (duplicates=true lists them)"
        )
    yield f"{'texts':<11}{number:,} different ones in {name}, column {texts.column}"
    if left_out:
        yield f"{'left out':<11}{'; '.join(left_out)}"
    shown = found[: resolved["shown"]]
    most = max((len(str(row[key])) for row in shown for key in ("line_a", "line_b")), default=0)
    for row in shown:
        yield ""
        for score, key in ((f"{row['score']:.4f}", "a"), ("", "b")):
            text = shortened(row[f"text_{key}"], max(20, width - most - 11))
            yield f"{score:<7}  {row[f'line_{key}']!s:>{most}}  {text}"
    yield ""
    if not found:
        yield f"no pair has a cosine of {resolved['min_score']} or more"
    elif len(found) == number * (number - 1) // 2 < resolved["top"]:
        yield f"these are all pairs of {number:,} texts"
    yield f"{'time':<11}{seconds[0]:.1f} s to load the model and encode, {seconds[1]:.1f} s to find the pairs"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def _write(path: Path, found: Sequence[Mapping[str, Any]]) -> None:
    """All pairs; a CSV has no formulas, and begins with the byte order mark by which spreadsheets recognise UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found), encoding="utf-8")
        return
    rows = ([row[column] for column in _COLUMNS] for row in found)
    path.write_text(report_csv([_COLUMNS, *rows]), encoding="utf-8-sig", newline="")

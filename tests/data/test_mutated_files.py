"""Mutated files through `embexp.inspect` and the plan of a run: shown, planned or refused in one message, no traceback.

2,000 of them were tried once; this is a seeded sample.
"""

import gzip
import io
import json
import random

import pyarrow
import pyarrow.parquet
import pytest

from embexp.cli.messages import explain
from embexp.cli.overrides import expand_paths
from embexp.config.compose import composed
from embexp.config.session import hydra_started
from embexp.errors import EmbexpError
from embexp.experiment.plan import plan_run
from embexp.inspection.inspect_dataset import inspect

NUMBER = 60
TABLES = {
    "scores": [{"sentence1": f"text {n}, 文本", "sentence2": f'other "{n}"', "score": n / 40} for n in range(40)],
    "triplets": [{"anchor": f"how {n}", "positive": f"so {n} 是", "negative": f"not {n}"} for n in range(40)],
    "classes": [{"text": f"stock rises {n}", "label": ["pos", "neg"][n % 2]} for n in range(40)],
    "ranked": [{"query": f"q {n}", "pos": [f"p {n}"], "neg": [f"n {n}", f"m {n}"]} for n in range(40)],
}
PIECES = [
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b'"',
    b"'",
    b",",
    b"\t",
    b"\r",
    b"\n",
    b"{",
    b"]",
    b"null",
    b"NaN",
    b"1e999",
]
PIECES += [
    b"\\ud800",
    b"\xc3",
    b"\xed\xa0\x80",
    b"=1+1",
    b"\x1b[31m",
    b"label",
    b"score",
    b"a" * 5000,
    b"__index_level_0__",
]
CODES = ("utf-16", "utf-16-le", "gb18030", "latin-1", "utf-32", "cp1252")


def written(kind: str, rows: list[dict]) -> bytes:
    if kind == "parquet":
        sink = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
        return sink.getvalue()
    if kind == "json":
        return json.dumps(rows).encode()
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    if kind in ("csv", "tsv"):
        sign = "," if kind == "csv" else "\t"
        lines = [
            sign.join(json.dumps(value, ensure_ascii=False).replace('\\"', '""') for value in row.values())
            for row in rows
        ]
        lines.insert(0, sign.join(rows[0]))
    return "\n".join(lines).encode()


def mutated(content: bytes, draw: random.Random) -> bytes:
    place, lines = draw.randrange(len(content)), content.split(b"\n")
    line = draw.randrange(len(lines))
    return draw.choice(
        [
            lambda: content[:place],
            lambda: content[:place] + draw.randbytes(20) + content[place:],
            lambda: content[:place] + draw.choice(PIECES) + content[place:],
            lambda: draw.choice(PIECES) + content,
            lambda: b"\n".join(lines[:line] + lines[line + 1 :]),
            lambda: b"\n".join([*lines[:line], lines[line] + draw.choice(PIECES), *lines[line:]]),
            lambda: content.decode("utf-8", "replace").encode(draw.choice(CODES), "replace"),
            lambda: content.replace(draw.choice([b",", b'"', b"\n", b"text", b"pos"]), draw.choice(PIECES), 3),
            lambda: content + b"\n" + written("csv", TABLES["classes"]),
        ]
    )()


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    ["csv", "jsonl", "parquet", *(pytest.param(each, marks=pytest.mark.matrix) for each in ("tsv", "json", "csv.gz"))],
)
def test_a_mutated_file_is_shown_planned_or_refused_in_one_message(kind, workplace):
    draw, name = random.Random(f"20 {kind}"), f"data.{kind}"
    run = ["model=tiny", "trainer=smoke", "tracking=none", "loss=auto"]
    with hydra_started():
        look = composed(expand_paths([f"dataset={name}"]), "inspect")
        train = composed(expand_paths([f"dataset={name}", *run]))
    for number in range(NUMBER // 6):
        content = mutated(written(kind.removesuffix(".gz"), TABLES[draw.choice([*TABLES])]), draw)
        (workplace / name).write_bytes(gzip.compress(content) if kind.endswith(".gz") else content)
        try:
            if number % 3:
                shown = inspect(*look, [f"dataset={name}"])
                assert not {"\x1b", "\0"} & {*shown}
                shown.encode()
            else:
                plan_run(*train, workplace / "runs" / str(number))
        except EmbexpError as error:
            explain(error).encode()

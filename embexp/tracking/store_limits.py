"""What a store of MLflow takes: names, texts, files and batches, cut or renamed where they go over its limits.

The limits are those of MLflow 3 on PostgreSQL, which are the tightest: a run is the same in every store.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

LONGEST_PARAM, LONGEST_TAG, LONGEST_RUN_NAME, LONGEST_EXPERIMENT = 6000, 8000, 250, 256
LONGEST_DATASET_NAME, LONGEST_SOURCE, LONGEST_SCHEMA = 500, 65_535, 1_048_575
LONGEST_PLACE = 140  # of a working directory, in an address of 200 with experiment, run and `artifacts`
OLDER_LENGTHS = (5000, 500, 250)  # of values in MLflow's earlier servers
_LONGEST_NAME = 243  # MLflow's 250 less the room of `z_more/`
_LONGEST_FILE = 200  # bytes of a file's name: of its 255 MLflow needs some while it writes
MOST_METRICS, MOST_TEXTS = 1000, 100  # of one request: metrics; parameters or tags
_MOST_BYTES = 500_000  # of one request: proxies often take no more than 1 MB
_REFUSED = re.compile(r"[^\w.\-: /]")  # characters that no name may hold
_HASHED = re.compile(r"--[0-9a-f]{8}$")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")  # but for tabs and ends of lines
# In an address `#` and `?` end the path and `%` begins a code: MLflow's server would store the file as another one.
_REFUSED_IN_FILES = re.compile(r"[\x00-\x1f\x7f\\#?%\ud800-\udfff]")
_LAST = "z_more/"  # sorts after all other sections of a run's charts
_SECONDARY = re.compile(r"(^|/)geometry/|_(dot|euclidean|manhattan)(_low|_high)?$")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def allowed_name(key: str) -> str:
    """The key as MLflow takes it; where a character had to go, or the end, a hash keeps it apart from others.

    >>> allowed_name("test/retrieval/ndcg_at_10"), allowed_name("conversion.label_scores.蕴含 (是)")
    ('test/retrieval/ndcg_at_10', 'conversion.label_scores.蕴含 _是_--1dc4bdc4')
    >>> allowed_name("🙂") == allowed_name("🙃"), allowed_name("a/../b")
    (False, 'a/_/b--900ea8b7')
    """
    name = _REFUSED.sub("_", key.replace("@", "_at_"))
    # A name must be a path that says the same when it is read as one.
    name = "/".join("_" if part in ("", ".", "..") else part for part in name.split("/"))
    name = f"_{name[2:]}" if name.startswith("..") else name
    name = f"_{name}" if name.startswith(_LAST) else name
    if name == key and len(name) <= _LONGEST_NAME and not _HASHED.search(name):
        return name
    return f"{name[: _LONGEST_NAME - 10]}--{_hash(key)}"


def metric_name(key: str) -> str:
    """The name of a metric in MLflow: geometry, and similarities other than the cosine, come in charts of their own.

    >>> metric_name("test/retrieval/ndcg_at_10"), metric_name("delta/sts/spearman_dot_low")
    ('test/retrieval/ndcg_at_10', 'z_more/delta/sts/spearman_dot_low')
    """
    return (_LAST if _SECONDARY.search(key) else "") + allowed_name(key)


def recorded_name(name: str) -> str:
    """What `metric_name` made the name of, as MLflow takes it.

    >>> recorded_name("z_more/base/geometry/uniformity"), recorded_name("base/geometry/uniformity")
    ('base/geometry/uniformity', 'base/geometry/uniformity')
    """
    return name.removeprefix(_LAST)


def allowed_text(text: str, longest: int) -> str:
    r"""The text as every store takes it: no longer, and control characters as they are written in Python.

    >>> allowed_text("a\0b", 250), len(allowed_text("x" * 300, 250)), allowed_text("x" * 300, 250)[210:]
    ('a\\x00b', 250, 'xxx... (300 characters, sha256 0d4e2ca9)')
    """
    shown = _CONTROL.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)
    if len(shown) <= longest:
        return shown
    end = f"... ({len(text)} characters, sha256 {_hash(text)})"
    return shown[: longest - len(end)] + end


def searchable(key: str) -> str:
    """The key of a run as it stands in its tag: MLflow's search finds no text with quotes."""
    return allowed_name(key) if "'" in key or key != allowed_text(key, LONGEST_TAG) else key


def allowed_path(path: str) -> str:
    r"""The path of an artifact as every store keeps and finds it; `/` parts folders.

    >>> allowed_path("plots/好 🙂.png"), allowed_path("a#b.txt"), allowed_path("a?b.txt"), allowed_path("../a")
    ('plots/好 🙂.png', 'a_b--14bfa5ef.txt', 'a_b--f8e3cd91.txt', '_--5ec1f7e7/a')
    """
    return "/".join(_allowed_file(part) for part in path.split("/"))


def _allowed_file(name: str) -> str:
    shown = _REFUSED_IN_FILES.sub("_", name)
    is_odd = (
        shown in ("", ".", "..") or shown[:1] == " " or shown[1:2] == ":" or shown.startswith(".artifact.uploading.")
    )
    shown = f"_{shown[2:]}" if is_odd else shown
    if shown == name and len(name.encode()) <= _LONGEST_FILE and not _HASHED.search(PurePosixPath(name).stem):
        return name
    end = PurePosixPath(shown).suffix[:20] if shown.strip(".") else ""
    stem = shown.removesuffix(end).encode()[: _LONGEST_FILE - 10 - len(end.encode())].decode(errors="ignore")
    return f"{stem}--{_hash(name)}{end}"


def batches(entries: Sequence[Any], most: int) -> Iterator[list[Any]]:
    """The entries (metrics, parameters or tags) in as many requests as a server and its proxy take."""
    batch: list[Any] = []
    size = 0
    for entry in entries:
        room = len(json.dumps(dict(entry)))
        if batch and (len(batch) == most or size + room > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += room
    if batch:
        yield batch


def is_refusal(error: BaseException) -> bool:
    """Whether a store has answered that it does not take this; else it has failed, or is another program's."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    found = re.search(r"failed with error code (\d+)", str(error))
    code = getattr(error, "error_code", "")
    return (
        code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
        or status in (400, 413, 414, 422)
        or (found is not None and found[1] in ("400", "413", "414"))
    )

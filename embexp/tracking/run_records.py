"""The records of one run, sent so that every store takes them, with a note in the run of what was changed for that."""

import json
import logging
import math
import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from embexp.core.redaction import redacted
from embexp.tracking.mlflow_store import milliseconds, store_errors
from embexp.tracking.store_limits import (
    LONGEST_DATASET_NAME,
    LONGEST_PARAM,
    LONGEST_SCHEMA,
    LONGEST_SOURCE,
    LONGEST_TAG,
    MOST_METRICS,
    MOST_TEXTS,
    OLDER_LENGTHS,
    allowed_name,
    allowed_path,
    allowed_text,
    batches,
    is_refusal,
    metric_name,
)

logger = logging.getLogger(__name__)
NOTE_TAG, NOTE_FILE = "embexp.altered", "altered.json"
_LONGEST_NOTE = 4000  # characters of the tag; the file has all
DESCRIPTION = "mlflow.note.content"


class RunRecords:
    """Sends the records of a run. What the store refuses is noted; where the store fails, its error is raised.

    Args:
        client: of MLflow.
        is_new: whether the run was made now; else the notes of earlier processes are kept.
    """

    def __init__(self, client: Any, run_id: str, is_new: bool) -> None:
        self.client = client
        self.run_id = run_id
        self._notes: dict[str, str] = {}  # what became of a record, by its kind and name
        self._is_noted = True  # whether the run has the notes
        self._are_read = is_new

    def params(self, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        entries = [Param(*self._text("parameter", key, value, LONGEST_PARAM)) for key, value in params.items()]
        self._send("params", entries)

    def tags(self, tags: Mapping[str, Any]) -> None:
        from mlflow.entities import RunTag

        self._send("tags", [RunTag(*self._text("tag", key, value, LONGEST_TAG)) for key, value in tags.items()])

    def metrics(
        self, metrics: Mapping[str, float], step: int, at: float | None = None, model: str | None = None
    ) -> None:
        """Values that are finite; MLflow keeps infinity as another number.

        Args:
            at: when they were measured, in seconds since 1970; None is now.
            model: id of the logged model that has them.
        """
        from mlflow.entities import Metric

        time, entries = milliseconds(at), []
        for key, value in metrics.items():
            name = self._name("metric", key)
            if math.isfinite(value):
                entries.append(Metric(name, float(value), time, step, model_id=model))
            else:
                self.note(
                    f"values of metric {key}",
                    f"are not all sent: the first that is not finite is {value} at step {step}",
                )
        self._send("metrics", entries)

    def data(
        self, name: str, context: str, digest: str, source: str, num_rows: int | None, columns: Mapping[str, str]
    ) -> None:
        """Name rows among the datasets of the run."""
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.exceptions import MlflowException

        items = {"array": {"items": {"type": "string"}}}
        types = [{"name": key, "type": kind, "required": True} | items.get(kind, {}) for key, kind in columns.items()]
        schema = json.dumps({"mlflow_colspec": types}) if types else None
        if schema and len(schema) > LONGEST_SCHEMA:
            self.note(f"dataset {name}", f"has no schema here: its {len(types)} columns are too many")
            schema = None
        where = json.dumps(
            {"uri": allowed_text(redacted(source), LONGEST_SOURCE // 8)}
        )  # JSON has codes of six letters
        dataset = Dataset(
            allowed_text(redacted(name), LONGEST_DATASET_NAME),
            digest[:36],
            "local",
            where,
            schema=schema,
            profile=None if num_rows is None else json.dumps({"num_rows": num_rows}),
        )
        if dataset.name != redacted(name):
            self.note(f"dataset {name}", f"is called {dataset.name}")
        inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", allowed_text(context, LONGEST_DATASET_NAME))])]
        try:
            self.client.log_inputs(self.run_id, inputs)
        except MlflowException:  # another job named the same rows at the same moment: now they are there
            self.client.log_inputs(self.run_id, inputs)
        self.send_note()

    def file(self, path: Path, folder: str | None = None) -> None:
        """Store a file, which is not read into memory; one that cannot be read is noted.

        Args:
            folder: of the artifacts.
        """
        name = f"{folder}/{path.name}" if folder else path.name
        if (place := allowed_path(name)) != name:
            self.note(f"artifact {name}", f"is called {place}")
        try:
            if path.exists() and not path.is_file():
                raise OSError("it is no file")
            path.open("rb").close()
        except OSError as error:
            self._warn(f"artifact {name}", f"is missing: {path} cannot be read: {error.strerror or error}")
        else:
            try:
                self._store_file(path, PurePosixPath(place))
            except store_errors() as error:
                self._warn_refused(f"artifact {name}, which is {path},", error)
        self.send_note()

    def files(self, path: Path, folder: str | None, left_out: Collection[str] = ()) -> None:
        """Store the files of a folder.

        Args:
            left_out: patterns of names.
        """
        for root, _, names in os.walk(path):
            for file in sorted(Path(root, name) for name in names):
                if not any(file.match(pattern) for pattern in left_out):
                    inside = Path(root).relative_to(path).as_posix()
                    self.file(file, "/".join(part for part in (folder, inside) if part and part != ".") or None)

    def describe(self, text: str) -> None:
        """Show a Markdown text on the page of the run; a long one is whole in an artifact."""
        shown = allowed_text(redacted(text), LONGEST_TAG)
        if len(text) > LONGEST_TAG:
            self.client.log_text(self.run_id, redacted(text), "description.md")
            self.note("description", "is cut, and whole in description.md")
        self.client.set_tag(self.run_id, DESCRIPTION, shown)
        self.send_note()

    def note(self, record: str, what: str) -> None:
        """Keep what became of a record; `send_note` sends it."""
        record = allowed_text(redacted(record), 300)
        if record not in self._notes:
            self._notes[record] = redacted(what)
            self._is_noted = False

    def send_note(self) -> None:
        """Say in the run what of its records is changed: a tag says how many, an artifact which."""
        if self._is_noted:
            return
        if not self._are_read:
            self._notes |= self._earlier_notes()
            self._are_read = True
        whole = f"The run's folder, and result.json and metrics.jsonl here, have them whole. All changes: {NOTE_FILE}."
        changes = "; ".join(f"{record} {what}" for record, what in self._notes.items())
        text = f"{len(self._notes)} records are not here as they were given. {whole} {changes}"
        self.client.set_tag(self.run_id, NOTE_TAG, allowed_text(text, _LONGEST_NOTE))
        self.client.log_text(self.run_id, json.dumps(self._notes, indent=2, ensure_ascii=False), NOTE_FILE)
        self._is_noted = True

    def _earlier_notes(self) -> dict[str, str]:
        if NOTE_FILE not in {file.path for file in self.client.list_artifacts(self.run_id)}:
            return {}
        with tempfile.TemporaryDirectory() as folder:
            file = self.client.download_artifacts(self.run_id, NOTE_FILE, folder)
            return json.loads(Path(file).read_text(encoding="utf-8"))

    def _name(self, kind: str, key: str) -> str:
        if (name := allowed_name(key)) != key:
            self.note(f"{kind} {key}", f"is called {name}")
        return metric_name(key) if kind == "metric" else name

    def _text(self, kind: str, key: str, value: Any, longest: int) -> tuple[str, str]:
        """The name and the value of a parameter or tag as the store takes them."""
        text = redacted(str(value))
        shown = allowed_text(text, longest)
        if shown != text:
            change = (
                f"is cut: it has {len(text)} characters" if len(text) > longest else "has codes for control characters"
            )
            self.note(f"value of {kind} {key}", change)
        return self._name(kind, key), shown

    def _send(self, kind: str, entries: Sequence[Any]) -> None:
        for batch in batches(entries, MOST_METRICS if kind == "metrics" else MOST_TEXTS):
            self._send_batch(kind, batch)
        self.send_note()

    def _send_batch(self, kind: str, batch: list[Any]) -> None:
        """Send all of a batch that the store does not refuse: by halves it is found."""
        try:
            self.client.log_batch(self.run_id, **{kind: batch})
        except store_errors() as error:
            if not is_refusal(error):
                raise
            if len(batch) == 1:
                self._send_shorter(kind, batch[0], error)
                return
            half = len(batch) // 2
            self._send_batch(kind, batch[:half])
            self._send_batch(kind, batch[half:])

    def _send_shorter(self, kind: str, entry: Any, error: Exception) -> None:
        """Send one entry that was refused as an earlier server takes it, or note that it is missing."""
        for longest in OLDER_LENGTHS if kind != "metrics" else ():
            if len(entry.value) > longest:
                try:
                    self.client.log_batch(
                        self.run_id, **{kind: [type(entry)(entry.key, allowed_text(entry.value, longest))]}
                    )
                except store_errors() as shorter:
                    if not is_refusal(shorter):
                        raise
                else:
                    self.note(
                        f"value of {kind[:-1]} {entry.key}",
                        f"is cut to {longest} characters, all that this store takes",
                    )
                    return
        self._warn_refused(f"{kind[:-1]} {entry.key}", error)

    def _store_file(self, path: Path, place: PurePosixPath) -> None:
        """Send a file under a name."""
        folder = None if len(place.parts) == 1 else place.parent.as_posix()
        if place.name == path.name:
            self.client.log_artifact(self.run_id, str(path), folder)
            return
        with tempfile.TemporaryDirectory() as links:  # MLflow takes the name from the file
            link = Path(links, place.name)
            link.symlink_to(path.absolute())
            self.client.log_artifact(self.run_id, str(link), folder)

    def _warn(self, record: str, what: str) -> None:
        logger.warning("Not in MLflow: %s %s", record, redacted(what))
        self.note(record, what)

    def _warn_refused(self, record: str, error: Exception) -> None:
        """Note that a record was refused.

        Raises:
            Exception: the error, unless it is a refusal by a store that takes the note.
        """
        if not is_refusal(error):
            raise error
        said = (str(error).splitlines() or [type(error).__name__])[0]
        self._warn(record, f"is refused: {said[:300]}")
        self.send_note()

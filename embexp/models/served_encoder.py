"""The Encoder of a model behind a URL: batches, requests side by side, vectors kept: no text is paid for twice."""

import hashlib
import json
import logging
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from pathlib import Path
from sqlite3 import Connection as Table

import numpy

from embexp.core.run_context import progress_bar
from embexp.data.cache import in_use
from embexp.endpoints.client import Connection, RefusedError
from embexp.endpoints.embeddings import connect, refused, request_vectors, width_problem
from embexp.endpoints.keeping import Tokens, estimated_tokens, open_table
from embexp.errors import ConfigError, EndpointError
from embexp.models.served import ALWAYS_SENT, PROBES, ServedModel

logger = logging.getLogger(__name__)
_SAME = 1e-4  # distance up to which two answers are of one model: rounding to 16 bits and other batches


class ServedEncoder:
    """An Encoder behind a URL; each distinct text is requested once, and its vector kept at once.

    What was kept is used as long as the server gives the vectors for some fixed texts that it gave then, the longest
    of them as long as the texts at hand: behind one address and name there may be another model tomorrow, or the same
    one that cuts texts elsewhere or normalises no longer.

    Attributes:
        width: of its vectors, once there are some.
        texts_encoded: that were requested until now, which took so many `seconds`.
    """

    def __init__(self, server: ServedModel) -> None:
        self.server, cache = server, server.cache
        key = [server.address, server.name, server.dimensions, dict(server.parameters)]
        digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()[:24]
        self.folder = Path(cache) / "served" / digest if cache else None
        self.width: int | None = None
        self.texts_encoded, self.seconds = 0, 0.0
        self._batch_texts = server.batch_texts
        self._model: int | None = None
        self._answers: list[numpy.ndarray] = []  # to the first probes
        self._memory: dict[str, numpy.ndarray] = {}

    def encode(self, texts: Sequence[str], prompt: str | None = None) -> numpy.ndarray:
        """Embeddings in the order of the texts, float32 `(len(texts), dim)`.

        Args:
            prompt: goes before every text; None for `model.prompt`.

        Raises:
            EndpointError: the server cannot be reached or used; vectors that came are kept.
        """
        wanted = [self._sent_for(text, prompt) for text in texts]
        self.fetch(zip(texts, [prompt] * len(texts), strict=True))
        return numpy.stack([self._memory[text] for text in wanted])

    def _sent_for(self, text: str, prompt: str | None) -> str:
        return ((self.server.prompt or "") if prompt is None else prompt) + text

    def fetch(self, wanted: Iterable[tuple[str, str | None]]) -> None:
        """Have the vectors of texts with their prompts at hand; what this takes is logged before anything is sent.

        Raises:
            ConfigError: it would cost more than `model.max_cost`.
            EndpointError: as `encode`.
        """
        texts = dict.fromkeys(self._sent_for(text, prompt) for text, prompt in wanted)
        if pending := [text for text in texts if text not in self._memory]:
            cached = in_use(Path(self.server.cache)) if self.server.cache else nullcontext()
            with cached, open_table(self.folder, "vectors") as table:
                self._fetch(table, pending)

    def costs(self) -> dict[str, float]:
        """Dimensions, and how many texts the server encodes in a second, where it was measured."""
        found = {"dimensions": float(self.width or 0)}
        return found | ({"encode_texts_per_second": self.texts_encoded / self.seconds} if self.texts_encoded else {})

    def _fetch(self, table: Table, texts: Sequence[str]) -> None:
        for columns in ("vectors (model integer, text text, vector blob, primary key (model, text))",
                        "answers (model integer, probe text, vector blob, primary key (model, probe))"):  # fmt: skip
            table.execute(f"create table if not exists {columns}")
        with (connection := connect(self.server)).session:
            number = _num_probes(texts) if self.folder else ALWAYS_SENT
            if number > len(self._answers):
                self._answer_probes(connection, number)
                self._model, self.width = self._recognised(table), len(self._answers[0])
            self._recall(table, texts)
            pending = sorted((text for text in texts if text not in self._memory), key=len)
            read = Tokens(estimated_tokens(pending))
            taken = f"{len(pending):,} texts to embed, about {read.read:,} tokens{read.cost_in_words(self.server)}"
            kept = len(texts) - len(pending)
            logger.info("%s: %s; %s more are kept already.", self.server.short_name, taken, f"{kept:,}")
            self._refuse_cost(read)
            self._request(connection, pending, table)

    def _refuse_cost(self, read: Tokens) -> None:
        most = self.server.max_cost
        if most is not None and (cost := read.cost_at(self.server)) > most:
            text, fix = f"is less than the {cost:.4f} that these texts cost", (f"model.max_cost={cost * 1.1:.4g}",)
            raise ConfigError(text, key="model.max_cost", given=most, expected="more, or fewer texts", fix=fix)

    def _recognised(self, table: Table) -> int:
        """The number of the model whose kept answers to the probes are these; a new one where there is none.

        A model has kept answers to the probes up to its longest text, so that one that lacks some of them fits, too.
        """
        answers = {_key(probe): vector for probe, vector in zip(PROBES, self._answers, strict=False)}
        known: dict[int, dict[str, numpy.ndarray]] = {}
        for number, probe, blob in table.execute("select model, probe, vector from answers order by model desc"):
            known.setdefault(number, {})[probe] = numpy.frombuffer(blob, "<f4")
        shared = {number: answers.keys() & kept.keys() for number, kept in known.items()}
        fitting = [number for number, probes in shared.items()
                   if all(_distance(known[number][probe], answers[probe]) < _SAME for probe in probes)]  # fmt: skip
        if known and not fitting:
            logger.warning(
                "%s gives other vectors than before for the same texts: the model behind the URL has changed, or how "
                "it is served. What was kept of the earlier one is not used.", self.server.short_name,
            )  # fmt: skip
        used = "select coalesce(max(model), 0) from (select model from answers union all select model from vectors)"
        chosen = max(fitting, key=lambda number: len(shared[number]), default=None)
        chosen = table.execute(used).fetchone()[0] + 1 if chosen is None else chosen
        rows = [(chosen, probe, vector.astype("<f4").tobytes()) for probe, vector in answers.items()]
        with table:
            table.executemany("insert or ignore into answers values (?, ?, ?)", rows)
        return chosen

    def _recall(self, table: Table, texts: Sequence[str]) -> None:
        for text in texts:
            query = "select vector from vectors where model = ? and text = ?"
            if row := table.execute(query, (self._model, _key(text))).fetchone():
                self._note(text, numpy.frombuffer(row[0], "<f4").astype("float32"))

    def _note(self, text: str, vector: numpy.ndarray) -> None:
        if problem := width_problem(self.server, len(vector), self.width):
            raise problem
        self.width = len(vector)
        self._memory[text] = vector

    def _answer_probes(self, connection: Connection, number: int) -> None:
        """Have the vectors of the first probes; zeros for one that the server refuses, as it may a long one."""
        found = self._answers
        for probe in PROBES[len(found) : number]:
            try:
                found.append(request_vectors(self.server, connection, [probe], estimated_tokens([probe]))[0])
            except RefusedError as refusal:
                if not found:
                    raise refused(self.server, probe, refusal) from refusal
                found.append(numpy.zeros_like(found[0]))
            if len(found[-1]) != len(found[0]):
                raise width_problem(self.server, len(found[-1]), len(found[0])) or AssertionError

    def _request(self, connection: Connection, texts: Sequence[str], table: Table) -> None:
        """Request texts, several requests at a time; each vector is kept as it comes."""
        began, size = time.perf_counter(), self._batch_texts
        batches = [texts[start : start + size] for start in range(0, len(texts), size)]
        kept: set[int] = set()
        with (
            ThreadPoolExecutor(self.server.concurrency) as pool,
            progress_bar(self.server.short_name, len(texts), "text") as bar,
        ):
            sent = {pool.submit(self._sent, connection, batch): place for place, batch in enumerate(batches)}
            try:
                for done in as_completed(sent):
                    if isinstance(done.exception(), CancelledError):  # by the error of another one, which follows
                        continue
                    kept.add(place := sent[done])
                    self._keep(table, batches[place], done.result())
                    bar.update(len(batches[place]))
            finally:  # whatever ends this: nothing more is sent, and what comes still is kept
                connection.stop.set()
                pool.shutdown(cancel_futures=True)
                for done, place in sent.items():
                    if place not in kept and not done.cancelled() and done.exception() is None:
                        self._keep(table, batches[place], done.result())
        self.texts_encoded += len(texts)
        self.seconds += time.perf_counter() - began

    def _keep(self, table: Table, texts: Sequence[str], vectors: numpy.ndarray) -> None:
        for text, vector in zip(texts, vectors, strict=True):
            self._note(text, vector)
        rows = [(self._model, _key(text), self._memory[text].astype("<f4").tobytes()) for text in texts]
        with table:
            table.executemany("insert or replace into vectors values (?, ?, ?)", rows)

    def _sent(self, connection: Connection, texts: Sequence[str]) -> numpy.ndarray:
        """The vectors of a request's texts; of fewer at a time where the server refuses so many."""
        if len(texts) > (size := self._batch_texts):
            parts = [self._sent(connection, texts[start : start + size]) for start in range(0, len(texts), size)]
            return numpy.concatenate(parts)
        try:
            return request_vectors(self.server, connection, texts, estimated_tokens(texts))
        except RefusedError as refusal:
            if len(texts) == 1:
                connection.stop.set()
                raise refused(self.server, texts[0], refusal) from refusal
        except EndpointError:
            connection.stop.set()  # at once: another thread may be about to send
            raise
        half = -(-len(texts) // 2)
        vectors = numpy.concatenate([self._sent(connection, texts[:half]), self._sent(connection, texts[half:])])
        self._batch_texts = min(self._batch_texts, half)
        return vectors


def _num_probes(texts: Sequence[str]) -> int:
    """How many of the probes, so that the longest one has more tokens than any of the texts."""
    longest = max(estimated_tokens([text]) for text in texts)
    sizes = [estimated_tokens([probe]) for probe in PROBES[ALWAYS_SENT - 1 :]]
    return min(ALWAYS_SENT + bisect_left(sizes, 2 * longest), len(PROBES))  # twice: it is an estimate


def _distance(first: numpy.ndarray, second: numpy.ndarray) -> float:
    """The distance of two vectors by direction and length: 1 - cosine where they are equally long; 0 of two zeros."""
    if first.shape != second.shape:
        return numpy.inf
    longest = max(numpy.linalg.norm(first), numpy.linalg.norm(second))
    return float((numpy.linalg.norm(first - second) / (longest or 1)) ** 2 / 2)


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

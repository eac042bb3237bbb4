"""The ledger of looks: how often test data have decided something, and which error each further decision may spend.

Of 100 proposals without effect, each tried at 5 % on the same examples, a handful look better by chance, and a loop
that keeps what looks better keeps those. So look number j at test data is made at the level alpha_j = alpha * 6 /
(pi^2 j^2), whose sum over all looks is alpha: the chance that any of them finds a difference that is not there is at
most alpha, 5 %, however many there are (Bonferroni's inequality over a convergent series: alpha spending, Lan & DeMets
1983, Biometrika 70, 659-663; for a stream of hypotheses Foster & Stine 2008, "Alpha-investing", Journal of the Royal
Statistical Society B 70, 429-444). Rules that hold the false discovery rate instead and earn alpha back (LORD:
Javanmard & Montanari 2018, Annals of Statistics 46, 526-554) need p values that are independent or valid given the
past. Ours are all of the same examples, and Bonferroni's inequality is what holds then, whatever the dependence.

It holds for proposals that are made without the scores of earlier looks. Who reads these can fit the examples slowly
(Dwork et al. 2015, "The reusable holdout", Science 349, 636-638; Blum & Hardt 2015, "The Ladder"): then new test data
are due.

A look is written down, in one transaction, before its interval is known: whoever is killed has spent it.
"""

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from embexp.errors import UnreadableError
from embexp.evaluation.scores import ID, Scores

ALPHA = 0.05
_SKETCH = 256  # hashes of examples by which data sets that overlap are found
_SHARED = 0.5  # share of the smaller set's examples from which two count as the same test data
_WAIT = 60.0  # seconds for another process
_TABLES = """
CREATE TABLE IF NOT EXISTS data (digest TEXT PRIMARY KEY, examples INTEGER NOT NULL, sketch TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS looks (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, digest TEXT NOT NULL REFERENCES data,
    question TEXT NOT NULL, about TEXT NOT NULL, number INTEGER NOT NULL, level REAL NOT NULL, decision TEXT,
    UNIQUE (digest, question));
"""


def level_of(number: int, alpha: float = ALPHA) -> float:
    """The error that look `number`, from 1, may spend.

    >>> [round(level_of(number), 6) for number in (1, 2, 10, 100)]
    [0.030396, 0.007599, 0.000304, 3e-06]
    """
    return alpha * 6 / (math.pi * number) ** 2


@dataclass(frozen=True)
class DataSketch:
    """Which examples decide: a hash of them all, their number, and the lowest hashes of single ones."""

    digest: str
    examples: int
    sketch: tuple[int, ...]


def sketch_of(scores: Scores) -> DataSketch:
    """The examples of scores by their texts, in any order: corrected true values do not make them new."""
    columns = [values for name, values in scores.examples.items() if name != ID and isinstance(values, list)]
    columns = columns or [values for name, values in scores.examples.items() if name != ID]
    rows = zip(*columns, strict=True)
    hashes = sorted({int.from_bytes(hashlib.sha256(repr(row).encode()).digest()[:7]) for row in rows})
    digest = hashlib.sha256(json.dumps(hashes).encode()).hexdigest()[:16]
    return DataSketch(digest, len(scores.examples[ID]), tuple(hashes[:_SKETCH]))


def _overlap(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Whether two data sets share half of the smaller one, by the hashes up to where both sketches reach."""
    ends = [each[-1] for each in (first, second) if len(each) == _SKETCH]
    end = min(ends, default=math.inf)
    known = [{each for each in sketch if each <= end} for sketch in (first, second)]
    return bool(fewest := min(map(len, known))) and len(known[0] & known[1]) >= _SHARED * fewest


@dataclass(frozen=True)
class Look:
    """One decision on test data.

    Attributes:
        number: how many looks there were at these data, with this one.
        level: the error that it may spend.
        is_repeated: the same question was decided before; it spends nothing anew.
    """

    id: int
    number: int
    level: float
    is_repeated: bool = False


@dataclass(frozen=True)
class Trust:
    """What is left of test data."""

    looks: int
    shipped: int

    @property
    def spent(self) -> float:
        """The share of the error that all looks together may spend, 0 to 1."""
        return sum(level_of(number, 1.0) for number in range(1, self.looks + 1))

    @property
    def next_level(self) -> float:
        return level_of(self.looks + 1)


class Ledger:
    """The looks in a SQLite file, which many processes may write to.

    Args:
        path: of the file; it is made where there is none.

    Raises:
        UnreadableError: from every method, where the file is no such ledger or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def look(self, data: DataSketch, question: str, about: str = "") -> Look:
        """Take the next look at these data and at all that overlap with them; the same question has its first one.

        Args:
            question: a hash of what is compared.
            about: what is compared, for people.
        """
        with self._transaction() as store:
            again = "SELECT id, number, level FROM looks WHERE digest = ? AND question = ?"
            if known := store.execute(again, (data.digest, question)).fetchone():
                return Look(*known, is_repeated=True)
            sketch = json.dumps(data.sketch)
            store.execute("INSERT OR IGNORE INTO data VALUES (?, ?, ?)", (data.digest, data.examples, sketch))
            number = self._trust(store, data).looks + 1
            row = (data.digest, question, about, number, level_of(number))
            place = store.execute(
                "INSERT INTO looks (digest, question, about, number, level) VALUES (?, ?, ?, ?, ?)", row
            )
            return Look(place.lastrowid, number, level_of(number))

    def decide(self, look: Look, decision: str) -> None:
        """Note what a look decided."""
        with self._transaction() as store:
            store.execute("UPDATE looks SET decision = ? WHERE id = ?", (decision, look.id))

    def trust(self, data: DataSketch) -> Trust:
        """How often these data, and those that overlap with them, have decided."""
        if not self.path.is_file():
            return Trust(0, 0)
        with self._transaction() as store:
            return self._trust(store, data)

    @staticmethod
    def _trust(store: sqlite3.Connection, data: DataSketch) -> Trust:
        same = [
            digest
            for digest, sketch in store.execute("SELECT digest, sketch FROM data").fetchall()
            if digest == data.digest or _overlap(data.sketch, tuple(json.loads(sketch)))
        ]
        places = ", ".join("?" * len(same))
        counts = f"SELECT COUNT(*), COUNT(*) FILTER (WHERE decision = 'ship') FROM looks WHERE digest IN ({places})"
        return Trust(*store.execute(counts, same).fetchone())

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction that has the file for itself; it is undone whole where the block is not finished."""
        from filelock import FileLock

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=_WAIT):  # only one may turn a new file into a ledger
                store = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)
                store.execute("PRAGMA journal_mode = WAL")
                store.execute("PRAGMA synchronous = FULL")
                store.executescript(_TABLES)
            with closing(store):
                store.execute("BEGIN IMMEDIATE")
                try:
                    yield store
                except BaseException:
                    store.execute("ROLLBACK")
                    raise
                store.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise UnreadableError(
                f"no look can be written down in it: {error}",
                file=self.path,
                expected="a ledger of looks, or no file yet, in a folder that can be written",
                fix="ledger=<file>",
            ) from error

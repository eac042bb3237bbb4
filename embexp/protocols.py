"""The small interfaces that layers share, so that no layer imports the one that implements them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer

TextSource = Callable[[], Iterable[str]]


class Encoder(Protocol):
    """Turns texts into vectors."""

    def encode(self, texts: Sequence[str], prompt: str | None = None) -> "numpy.ndarray":
        """Embeddings in the order of the texts, float32 `(len(texts), dim)`.

        Args:
            prompt: goes before every text, as `Prompts.of` gives it: empty for none, None for the model's own default.
        """


class PairScorer(Protocol):
    """Scores pairs of texts, as a cross-encoder does."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> "numpy.ndarray":
        """One score per pair, higher means more similar, float32 `(len(pairs),)`."""


class Translator(Protocol):
    """Translates texts from a language into another one."""

    def load(self) -> None:
        """Make ready what translating needs, so that what is missing is reported before hours of work.

        Raises:
            ModelError: the model cannot be loaded, or does not know the languages.
        """

    def translate(self, texts: Sequence[str], seed: int) -> list[str]:
        """The texts in the other language, in their order.

        Args:
            seed: decides what is drawn, where words are drawn.
        """


class PairLabeller(Protocol):
    """Labels pairs of texts as a teacher has learned to.

    Attributes:
        trainings: the folder of each training that it comes from, with metrics.jsonl and result.json.
        dev_scores: how well the untrained and the trained teacher label dev, by metric; empty without dev rows.
    """

    trainings: Sequence[Path]
    dev_scores: Mapping[str, tuple[float, float]]

    def label(self, pairs: Sequence[tuple[str, str]]) -> "numpy.ndarray":
        """The probability of each class, float32 `(len(pairs), num_classes)`.

        Of scores and of 0 or 1 there is one column: the score from 0 to 1, or the probability of 1.
        """


class PairTeacher(Protocol):
    """Learns from labelled pairs of texts to label others."""

    def fit(
        self, train: "Dataset", dev: "Dataset | None", kind: str, num_classes: int, cache: Path | None
    ) -> PairLabeller:
        """What labels pairs as those of train are labelled; what was learned before is taken from the cache.

        Args:
            train: columns sentence1, sentence2 and label.
            dev: the same columns; None: no dev rows.
            kind: of the labels: score (0 to 1), binary (0 or 1) or class.
            num_classes: of labels that are classes; of no meaning for others.
        """


class BaseModel(Protocol):
    """A base model that can be found before it is loaded.

    Attributes:
        has_transformer: whether it has one; some losses and modifiers need it.
        trains_adapter: whether an adapter is trained in place of the transformer's own weights.
        merges_adapter: whether an adapter goes into the weights of the model that is kept, once all is trained.
    """

    @property
    def has_transformer(self) -> bool: ...

    @property
    def trains_adapter(self) -> bool: ...

    @property
    def merges_adapter(self) -> bool: ...

    def locate(self) -> dict[str, str]:
        """Where the weights come from: id, source, location, revision, sha256, files. Loads nothing.

        Raises:
            ModelError: the weights are neither here nor named well enough to be fetched, or would run code of their own
                that is not trusted.
        """

    def check(self) -> None:
        """Refuse what only torch and sentence-transformers can check; loads no weights.

        Raises:
            EmbexpError: the machine lacks what is configured, or a module does not take its arguments.
        """

    def load(self, training_texts: TextSource, folder: Path) -> "SentenceTransformer":
        """The model, ready to train.

        Models from scratch make their tokenizer from the texts and keep their untrained weights in `folder`.
        """


class Tracker(Protocol):
    """Where a run is shown. The run's folder stays the truth: a tracker may fail and nothing is lost."""

    def prepare(self) -> None:
        """Create the store and the experiment, once, before any job starts.

        Raises:
            TrackingError: the store cannot be opened.
        """

    def start(self, name: str, parent: str | None = None, key: str | None = None, at: float | None = None) -> str:
        """Open a run and return its id; where there is one with that key, open it again.

        Args:
            at: when, in seconds since 1970, of a run that is sent later.
        """

    def attach(self, key: str) -> None:
        """Take up the run that has the key, as it is: what is added to it changes neither its status nor its times.

        Raises:
            TrackingError: there is none.
        """

    def latest(self, keys: Collection[str]) -> dict[str, float]:
        """The last value of each of these metrics that the run has."""

    def logged(self, keys: Collection[str]) -> set[tuple[str, int]]:
        """Which metrics of the run are there at which steps, as (key, step)."""

    def log_params(self, params: Mapping[str, Any]) -> None: ...

    def log_tags(self, tags: Mapping[str, str]) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None, at: float | None = None) -> None:
        """Store values.

        Args:
            at: when, in seconds since 1970; what is sent again with the same time is the same value.
        """

    def log_data(
        self,
        name: str,
        context: str,
        digest: str,
        source: str,
        num_rows: int | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        """Tell what the run read.

        Args:
            context: what for: train, dev or test of rows; of the weights that it began with `base model`.
            digest: a hash of the rows, or of the weights.
            columns: the type of each, in MLflow's names: string, long, double, array (of strings).
        """

    def describe(self, text: str) -> None:
        """Show a Markdown text on the run's page, in place of an earlier one."""

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Store a file, or a folder with all that is in it."""

    def log_checkpoint(self, path: Path) -> None:
        """Store the best checkpoint, or as much of it as the tracker is configured to keep."""

    def log_model(self, path: Path, step: int, metrics: Mapping[str, float], at: float | None = None) -> None:
        """Store the trained model so that the tracker's own client can load it again.

        Args:
            step: after which its weights were taken.
            metrics: what it reached.
        """

    def finish(self, status: str, at: float | None = None) -> None:
        """Close the run as FINISHED, FAILED or KILLED, now or when it ended."""

    def rests(self) -> bool:
        """Whether the store has failed a moment ago, so that it is not called again yet."""

    def settings(self) -> dict[str, Any]:
        """What makes the same tracker again, without secrets; empty where nothing can be sent later."""

    def store(self) -> str:
        """The address of where runs go, without passwords; empty where they go nowhere."""

    def where(self) -> str:
        """One line that says where to look."""

    def page(self) -> str:
        """The address of the run's page; empty where there are none."""

    def page_of_sweep(self, sweep: str) -> str:
        """The same of the page that shows a sweep's runs, best score first; by the sweep's id."""


class Engine(Protocol):
    """Starts worker processes somewhere; what each is given (CPUs, GPUs, memory, time) are the engine's own arguments.

    A worker takes job after job of a sweep until none is left, since its imports may take longer than a job. It knows
    itself by a name that the engine has put into its environment as `ENGINE_JOB` (see `embexp.core.claims`).

    Attributes:
        scope: what the names of its workers begin with: this engine, in this place, such as `slurm:<cluster>/`.
        is_here: whether all of its workers run on this machine and in this Python, once it has begun.
        outlives: whether its workers go on when the process that submitted them ends.
        retries: how often a job is tried again whose worker died.
        pause: seconds between two looks at the workers.
        then: what the command does once there are workers: wait, leave or cancel.
        jobs_per_worker: so many jobs a worker does at most; None: until none is left.
    """

    @property
    def scope(self) -> str: ...

    @property
    def is_here(self) -> bool: ...

    @property
    def outlives(self) -> bool: ...

    @property
    def retries(self) -> int: ...

    @property
    def pause(self) -> float: ...

    @property
    def then(self) -> str: ...

    @property
    def jobs_per_worker(self) -> int | None: ...

    def check(self, workers: int) -> None:
        """Refuse what can be refused before the sweep is opened.

        Args:
            workers: how many run side by side.

        Raises:
            ConfigError: an argument that cannot be, or that does not fit so many workers.
            EngineError: the engine is not there.
        """

    def begin(self, sweep: str, folder: Path) -> None:
        """Find the engine, before anything is submitted.

        Args:
            sweep: its id; the workers that an earlier process has submitted for it are found by it.
            folder: of the sweep, for what the engine writes.
        """

    def submit(self, work: Callable[[], None], number: int, limit: int, environment: Mapping[str, str]) -> None:
        """Start so many workers that each call `work` once (cloudpickle can send it); at once or when there is room.

        Args:
            limit: so many of them at most run side by side.
            environment: on top of that of a worker; holds what must not be written to a file.
        """

    def states(self) -> Mapping[str, str]:
        """The workers of this sweep by their names: `waiting` (also once more), `running`, or how it ended.

        An end is as short as `SIGKILL` or `out of memory`, and empty where all was well. A worker of its scope that is
        not listed has ended and is forgotten.
        """

    def cancel(self) -> None:
        """End all workers of this sweep; those that run close their runs first, as after SIGTERM."""

    def follow_up(self, work: Callable[[], None], environment: Mapping[str, str]) -> None:
        """Call `work` once all workers have ended, if nobody does it before; nothing where they end with us."""

    def close(self) -> None:
        """Nothing more is submitted, and no worker is left: let go of what `begin` and `follow_up` have taken."""

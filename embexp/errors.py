"""What a user can get wrong, as data: rendered once, where it is shown, and collected into one report."""

import dataclasses
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

# What moves, colours or links on a terminal, turns the direction of a text round, or cannot be encoded; not the end of
# a line, and no mark within a right-to-left text.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")
NOT_GIVEN = ...  # a key without a value; stays the same object when an error goes to another process

_COMMANDS = ("cd ", "export ", "pip ", "uv ")  # begin what to type that is no override: its keys stay
_PYTHON = re.compile(r"\S*\bpython[\d.]* |'[^']*\bpython[\d.]*' ")  # so does an interpreter, by its path, too
_MOST_LINES = 4  # alternatives that get a line each


@dataclass(frozen=True)
class Problem:
    """One mistake: what was given, what was expected, what to type.

    Attributes:
        text: what is wrong. With a `key` it is the predicate of a sentence whose subject is the key: "needs a GPU".
        key: the key of the configuration that is to blame, as it is typed for a run: `loss.scale`.
        given: the value of that key.
        expected: what would be right, to stand after "Expected".
        note: a further sentence, such as "Did you mean 'mnrl'?".
        fix: what to type, each an alternative: overrides (`loss.scale=20`) or a whole command.
        file, line: where a fault in a file is.
        stage: the stage before the main one that has the mistake.

    >>> print(Problem("is below 0", key="loss.scale", given=-1, expected="a number above 0", fix=("loss.scale=20",)))
    loss.scale=-1 is below 0. Expected a number above 0.
    hint: type loss.scale=20
    """

    text: str = ""
    key: str = ""
    given: Any = field(default=NOT_GIVEN, hash=False)  # may be a list
    expected: str = ""
    note: str = ""
    fix: tuple[str, ...] = ()
    file: str = ""
    line: int = 0
    stage: str = ""

    def __str__(self) -> str:
        where = f"adapt.{self.stage} (~adapt.{self.stage} leaves it out): " if self.stage else ""
        if self.file:
            where += f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        subject = self.key if self.given is NOT_GIVEN else f"{self.key}={as_typed(self.given)}"
        sentence = f"{subject} {self.text or 'was given'}" if self.key else self.text
        expected = f"Expected {self.expected}" if self.expected else ""
        parts = [part for part in (sentence, expected, self.note) if part]
        sentences = self.text if parts == [self.text] and not self.fix else " ".join(map(_ended, parts))
        hints = [f"hint: type {fix}" for fix in self.fix]
        if len(hints) > _MOST_LINES:
            hints = [f"hint: type one of: {', '.join(self.fix)}"]
        return printable("\n".join([where + sentences, *hints]))

    def under(self, prefix: str) -> "Problem":
        """The same mistake where its key and what to type are below `prefix`, as the arguments of a step are.

        >>> print(Problem(key="num_gold", given=0, fix=("num_gold=null",)).under("dataset.steps.silver"))
        dataset.steps.silver.num_gold=0 was given.
        hint: type dataset.steps.silver.num_gold=null
        """
        return self.renamed(lambda key: f"{prefix}.{key}")

    def renamed(self, rename: Callable[[str], str]) -> "Problem":
        """The same mistake with `rename` applied to its key and to the keys of the overrides to type.

        >>> Problem(key="endpoint.api_key_env", fix=("export KEY=<key>",)).under("dataset.steps.x").fix
        ('export KEY=<key>',)
        >>> Problem(key="path", fix=("python -m embexp.inspect dataset=x.csv",)).under("dataset.steps.x").fix
        ('python -m embexp.inspect dataset=x.csv',)
        >>> Problem(fix=(".venv/bin/python -m pip install 'peft>=0.20'",)).under("model.adapter").fix
        (".venv/bin/python -m pip install 'peft>=0.20'",)
        """
        fix = tuple(
            each
            if each.startswith(_COMMANDS) or _PYTHON.match(each)
            else " ".join(_renamed_override(part, rename) for part in _parts(each))
            for each in self.fix
        )
        return dataclasses.replace(self, key=rename(self.key) if self.key else "", fix=fix)

    def without_choice(self, group: str) -> "Problem":
        """The same mistake where no option of `group` can be chosen: alternatives that choose one are left out.

        >>> Problem(fix=("loss=mnrl", "loss.scale=20", "shape=null loss=auto")).without_choice("loss").fix
        ('loss.scale=20',)
        """
        fix = tuple(each for each in self.fix if not any(part.startswith(f"{group}=") for part in _parts(each)))
        return dataclasses.replace(self, fix=fix)


def as_typed(value: Any) -> str:
    """A value as it is typed in an override.

    >>> [as_typed(value) for value in (True, None, ["a", 1], {"a": False}, "x")]
    ['true', 'null', '[a,1]', '{a: false}', 'x']
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_typed, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {as_typed(inner)}' for name, inner in value.items())}}}"
    return "null" if value is None else str(value)


def printable(text: str) -> str:
    r"""A text whose control characters do nothing where it is shown: they are written as in JSON.

    >>> print(printable("a\x1b[31m b\r\nc\u202e"))
    a\u001b[31m b
    c\u202e
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text.replace("\r\n", "\n"))


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!", ":")) or "\n" in sentence else f"{sentence}."


def _parts(fix: str) -> list[str]:
    """The words of what to type, each quoted as it was.

    >>> _parts("loss=mnrl 'dataset.reader.columns={a: b}'")
    ['loss=mnrl', "'dataset.reader.columns={a: b}'"]
    """
    lexer = shlex.shlex(fix, posix=False, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    return list(lexer)


def _renamed_override(part: str, rename: Callable[[str], str]) -> str:
    """An override with another key; a word that is none stays as it is."""
    quote = part[:1] if part[:1] in "'\"" else ""
    rest = part[len(quote) :]
    sign = rest[: len(rest) - len(rest.lstrip("+~"))]
    key, equals, value = part[len(quote + sign) :].partition("=")
    if not equals and not sign:
        return part
    return f"{quote}{sign}{rename(key)}{equals}{value}"


class EmbexpError(Exception):
    """A mistake that a user can correct, or several: printed as one message, without a traceback.

    Attributes:
        problems: the mistakes, as data.
    """

    def __init__(
        self,
        *problems: str | Problem,
        key: str = "",
        given: Any = NOT_GIVEN,
        expected: str = "",
        note: str = "",
        fix: str | Sequence[str] = (),
        file: Any = "",
        line: int = 0,
    ) -> None:
        """Either problems, or the text and the other fields of the only one (see `Problem`)."""
        super().__init__(*problems)
        given_fields = key or expected or note or fix or file
        if given_fields or not problems:
            text = str(problems[0]) if problems else ""
            fixes = (fix,) if isinstance(fix, str) and fix else tuple(fix)
            self.problems: tuple[Problem, ...] = (Problem(text, key, given, expected, note, fixes, str(file), line),)
        else:
            self.problems = tuple(each if isinstance(each, Problem) else Problem(each) for each in problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        numbered = (f"{place}. {problem}" for place, problem in enumerate(self.problems, 1))
        return f"{len(self.problems)} things do not fit:\n\n" + "\n\n".join(numbered)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.problems


class ConfigError(EmbexpError):
    """A key, value or group option that the configuration does not know."""


class UnreadableError(ConfigError):
    """A file of a run or a sweep that embexp wrote and that cannot be read any more."""


class DataError(EmbexpError):
    """Data that cannot be found or read, or rows that do not have the shape they declare."""


class ShapeError(EmbexpError):
    """Data whose shape the loss does not accept and that no conversion brings there."""


class EndpointError(EmbexpError):
    """A server of a language model that cannot be reached, or whose answers are of no use."""


class ModelError(EmbexpError):
    """A base model whose weights cannot be found or are not the ones expected."""


class TrainingError(EmbexpError):
    """Training that cannot continue: impossible arguments, or a loss that is not a number."""


class ExportError(EmbexpError):
    """A form of the trained model that could not be made or sent; the model itself is whole."""


class TrackingError(EmbexpError):
    """A tracking store that cannot be opened at the start of a run."""


class RefusedRecordError(TrackingError):
    """A record that a store in order does not take, however often it is sent."""


class Pruned(EmbexpError):  # noqa: N818  # no error
    """A run that a study has stopped because others do better: neither a mistake nor a failure."""


class Paused(EmbexpError):  # noqa: N818  # no error
    """A run that has come to a share of its training and stops there, to go on later.

    Attributes:
        step: optimizer steps of the main stage that are done.
        share: of its training that is done, above 0 and at most 1.
        best_step: the one with the best score on dev so far; 0 where none was evaluated.
        seconds: of the training, over all processes.
    """

    def __init__(self, step: int, share: float, best_step: int = 0, seconds: float = 0.0) -> None:
        super().__init__(f"The training is paused at step {step}: {share:.0%} of it is done.")
        self.step, self.share, self.best_step, self.seconds = step, share, best_step, seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.step, self.share, self.best_step, self.seconds)


class SkippedJobError(EmbexpError):
    """A job of a sweep that failed before and was not to be run again; what it left stays as it is."""


class ClaimLostError(EmbexpError):
    """Another process has taken over what this one held, which must not write any more."""


class EngineError(EmbexpError):
    """Slurm, Ray or what else runs the jobs of a sweep is not there, refuses them, or loses all of them."""


class Terminated(SystemExit):
    """SIGTERM arrived: the run ends as KILLED and the process with exit code 143."""

    def __init__(self) -> None:
        super().__init__(143)


class LeftToWorkers(SystemExit):
    """The command ends, and workers that outlive it go on with its sweep or study."""


class WorkersCancelled(SystemExit):
    """The command ends, and so have the workers of its sweep or study."""


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known names, or an empty string when none is near.

    >>> did_you_mean("mnlr", ["mnrl", "cosent"])
    "Did you mean 'mnrl'?"
    """
    near = get_close_matches(given, list(known), n=2, cutoff=0.5)
    return f"Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""


def listed(names: Iterable[str]) -> str:
    """Names joined for a message.

    >>> listed(["a", "b"])
    'a, b'
    """
    return ", ".join(str(name) for name in names) or "none"


class Problems:
    """Mistakes found so far, each once and after `change`, in the order in which they were found."""

    def __init__(self, change: Callable[[Problem], Problem] = lambda problem: problem) -> None:
        self.found: dict[Problem, type[EmbexpError]] = {}
        self._change = change

    def through(self, change: Callable[[Problem], Problem]) -> "Problems":
        """The same collection for mistakes that need a change: those of a stage get the stage's keys."""
        view = Problems(change)
        view.found = self.found
        return view

    def attempt(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What the call returns; None when it raises an EmbexpError, whose problems are kept."""
        try:
            return call(*arguments)
        except EmbexpError as error:
            self.add(error.problems, type(error))
            return None

    def add(self, problems: Iterable[str | Problem], kind: type[EmbexpError]) -> None:
        """Keep mistakes that were not raised."""
        for problem in problems:
            self.found.setdefault(self._change(problem if isinstance(problem, Problem) else Problem(problem)), kind)

    def raise_if_any(self) -> None:
        """Raise the one mistake that was found, or one error that lists them all."""
        if self.found:
            kinds = {*self.found.values()}
            raise (kinds.pop() if len(kinds) == 1 else EmbexpError)(*self.found)

"""Claims: a folder is one process's for as long as it lives, also on network file systems, where locks may not hold.

A claim is a file `<what>.claim/<number>` that is created once and by one process only; whoever has the highest number
holds the folder. Its owner rewrites the file every few seconds, and marks it as released at the end. The next number is
taken when the one before was released or its owner is gone, so nothing is removed or renamed that somebody else may
have replaced meanwhile, and of several takers exactly one creates the file.

An owner on this machine is gone when its process is. Of another machine's only the file is seen: its owner is gone when
the file has not changed for a whole lease of the observer's own clock (clocks of machines differ, so no times of theirs
are compared), or when the engine that started it says so. An owner that was suspended for longer finds out before it
writes the next result: `check_claims`.
"""

import contextlib
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from embexp.core.claim_files import Claim, Owner, clock, highest, is_alive, machine, numbers, read_claim
from embexp.errors import ConfigError

logger = logging.getLogger(__name__)
LEASE = 60.0  # seconds without a sign of life after which another machine's owner is gone
_BEATS = 6  # signs of life in a lease
_KEPT = 3  # files of earlier owners, to look at
_DAY = 86_400.0  # by the file system's clock: no two clocks differ by so much


@dataclass
class _Heart:
    """Renews this process's claims from one thread."""

    claims: list[Claim] = field(default_factory=list)
    changed: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def add(self, claim: Claim) -> None:
        self.claims = [*self.claims, claim]
        if self.thread is None or not self.thread.is_alive():
            self.thread = threading.Thread(target=self._beat, name="embexp claims", daemon=True)
            self.thread.start()
        self.changed.set()

    def remove(self, claim: Claim) -> None:
        self.claims = [each for each in self.claims if each is not claim]

    def _beat(self) -> None:
        while True:
            self.changed.clear()
            pause = min((each.lease / _BEATS for each in self.claims), default=None)
            if self.changed.wait(pause):
                continue  # a claim was added, perhaps with a shorter lease
            for each in self.claims:
                with contextlib.suppress(OSError):  # tried again at the next beat
                    each.renew()


_HEART = _Heart()


def _forget() -> None:
    """In a forked child: the claims are its parent's."""
    global _HEART
    _HEART = _Heart()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def take(
    folder: Path, what: str = "run", lease: float | None = None, is_gone: Callable[[Owner], bool] = lambda _: False
) -> Claim | Owner:
    """The claim of this process on a folder, or who holds it; does not wait.

    Args:
        what: is held: one process may hold the run in a folder, another one the sweep.
        lease: seconds without a sign of life after which another machine's owner is gone. Whoever calls again sees
            whether they are over.
        is_gone: what the engine that started an owner says of it.
    """
    lease, place = LEASE if lease is None else lease, Path(os.path.abspath(folder)) / f"{what}.claim"
    place.mkdir(parents=True, exist_ok=True)
    number = highest(place)
    while True:
        state, owner, text = read_claim(place / str(number)) if number else ("released", Owner(), "")
        if state == "held" and not is_gone(owner):
            seen = _look(place / str(number), owner, text, lease)
            if seen is not None:
                return seen
        elif state == "missing":  # older than what is kept: others have come and gone
            number = highest(place)
            continue
        number += 1
        claim = Claim(place, number, lease)
        if claim.create():
            if highest(place) == number:
                break
            claim.release()  # of a number that was in use and removed before
            number = highest(place)
    _HEART.add(claim)
    for earlier in numbers(place):
        if earlier <= number - _KEPT:
            (place / str(earlier)).unlink(missing_ok=True)
            _SEEN.pop(place / str(earlier), None)
    return claim


def holder(folder: Path, what: str = "run") -> Owner | None:
    """Who holds the folder, as it says, be it gone or not; None where nobody does. Takes nothing."""
    place = folder / f"{what}.claim"
    number = highest(place)
    state, owner, _ = read_claim(place / str(number)) if number else ("released", Owner(), "")
    return owner if state == "held" else None


def drop(claim: Claim) -> None:
    """Release a claim, and renew it no more."""
    _HEART.remove(claim)
    claim.release()


def break_claim(folder: Path, is_gone: Callable[[Owner], bool], what: str = "run") -> bool:
    """Whether nobody holds the folder any more, after the claim of an owner that is gone was broken."""
    if not (folder / f"{what}.claim").is_dir():
        return True
    found = take(folder, what, is_gone=is_gone)
    if isinstance(found, Owner):
        return False
    drop(found)
    return True


def check_claims(path: Path, strict: bool = False) -> None:
    """Raise ClaimLostError where this process has held a folder above the path and another one has taken over.

    Args:
        strict: ask the file system in any case, as before a result is written.
    """
    for claim in _HEART.claims:
        if Path(os.path.abspath(path)).is_relative_to(claim.place.parent):
            claim.check(strict)


@contextmanager
def held(folder: Path, what: str = "run", waits: bool = False) -> Iterator[Claim]:
    """Holds the folder of a run or a sweep for this process; a killed process lets go of it.

    Where another machine's process has the claim, a lease is waited for a sign of its life.

    Args:
        waits: wait for another process in any case.

    Raises:
        ConfigError: another process holds it.
    """
    pause, is_noted, began = 0.02, False, time.monotonic()
    while isinstance(found := take(folder, what), Owner):
        if found.is_certain and not waits:
            raise ConfigError(
                f"The {what} in {folder} is still running in another process", note=f"Wait for it, or end it: {found}."
            )
        if not is_noted and time.monotonic() - began > 1:
            logger.info("Another process uses the %s in %s: waiting for it (%s).", what, folder, found)
            is_noted = True
        time.sleep(pause)
        pause = min(0.25, pause * 1.5)
    try:
        yield found
    finally:
        drop(found)


def is_held(folder: Path, what: str = "run") -> bool:
    """Whether a process holds the folder, or may hold it because nobody knows."""
    place = folder / f"{what}.claim"
    try:
        if not (number := highest(place)):
            return False
        state, owner, text = read_claim(place / str(number))
        return state != "released" and _look(place / str(number), owner, text, LEASE) is not None
    except FileNotFoundError:
        return False
    except OSError:  # another user's
        return True


# What was seen last of other machines' claims: the text, and since when it has not changed by our own clock.
_SEEN: dict[Path, tuple[str, float, bool]] = {}


def _look(file: Path, owner: Owner, text: str, lease: float) -> Owner | None:
    """The owner of a claim that is not released; None where it is gone."""
    if owner.machine == machine():
        return Owner(**(vars(owner) | {"is_certain": True})) if is_alive(owner.pid, owner.started) else None
    now = clock()
    last, since, has_changed = _SEEN.get(file, (None, now, False))
    if text != last:
        is_same_owner = last is not None and owner.token == _token_in(last)
        since, has_changed = now, is_same_owner
        _SEEN[file] = text, since, has_changed
    if now - since >= lease or _age(file) > _DAY:
        return None
    return Owner(**(vars(owner) | {"is_certain": has_changed}))


def _token_in(text: str) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        return json.loads(text).get("token", "")
    return ""


def _age(file: Path) -> float:
    """Seconds since the last sign of life by the clock of the file system, which is asked with a fresh file."""
    probe = file.with_name(f".{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime - file.stat().st_mtime
    except OSError:
        return 0.0
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)

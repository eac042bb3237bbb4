"""Keys that were typed for all jobs of a sweep and that only some of them know: `loss=mnrl,softmax loss.scale=30`."""

import re
from collections.abc import Sequence

from hydra.errors import ConfigCompositionException

from embexp.config import composed
from embexp.errors import ConfigError, did_you_mean

LEAVE_OUT = "leave_out"
UNKNOWN_KEYS = ("refuse", LEAVE_OUT)
UNKNOWN = re.compile(r"Could not override '([^']+)'")


def check_choice(given: str) -> None:
    """Raise ConfigError unless it is known what to do with such keys."""
    if given not in UNKNOWN_KEYS:
        expected = f"Expected {' or '.join(UNKNOWN_KEYS)}. {did_you_mean(str(given), UNKNOWN_KEYS)}".strip()
        raise ConfigError(f"sweep.unknown_keys={given} is not known. {expected}")


def split_known(job: Sequence[str], config_name: str) -> tuple[list[str], dict[str, Exception]]:
    """The overrides of a job whose keys it knows, and the others with what Hydra says of each.

    Raises:
        ConfigError, ConfigCompositionException: the job cannot be composed for another reason.
    """
    known, unknown = [*job], {}
    while True:
        try:
            composed(known, config_name)
        except ConfigCompositionException as error:
            key = UNKNOWN.match(str(error))
            left = [override for override in known if key and override.partition("=")[0] == key[1]]
            if not left:
                raise
            unknown |= dict.fromkeys(left, error)
            known = [override for override in known if override not in left]
        else:
            return known, unknown


def check_jobs(jobs: Sequence[Sequence[str]], config_name: str, choice: str) -> None:
    """Raise what is wrong with a key that no job knows, or with one that only some know unless those are asked for.

    Raises:
        ConfigError: as said; also of values with the wrong type.
    """
    split = [split_known(job, config_name) for job in jobs]
    known_somewhere = {override for known, _ in split for override in known}
    for job, (_, unknown) in zip(jobs, split, strict=True):
        for override, error in unknown.items():
            if override not in known_somewhere:
                raise error
            if choice != LEAVE_OUT:
                where = " ".join(each for each in job if not all(each in other for other in jobs))
                raise ConfigError(
                    f"{override} is for some jobs of the sweep only: {where} has no such key. Expected keys that all "
                    f"have, or type sweep.unknown_keys={LEAVE_OUT}: each job goes without those that it does not know."
                )

"""A cache below its size: what was not used for longest goes at the end of a command (`paths.cache_size`).

What counts and goes is what `embexp clean free=cache` removes: results of steps, and embeddings of untouched models.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embexp.core.file_contents import bytes_of, megabytes
from embexp.data.cache import cache_alone
from embexp.experiment.clean import Part, cache_parts, changed_at, freed_by, held_by, remove, sizes_of

logger = logging.getLogger(__name__)


@contextmanager
def bounded_cache(config: Mapping[str, Any]) -> Iterator[None]:
    """Inside, the cache of a configuration may be filled; in the end, however it comes, it is below its size."""
    try:
        yield
    finally:
        paths = config["paths"]
        size = bytes_of(paths.get("cache_size"))  # a run of an earlier version has none
        if paths["cache"] and size:
            bound_cache(Path(paths["cache"]), size)


def bound_cache(cache: Path, size: int) -> None:
    """Remove what was not used for longest until the rest is at most so many bytes.

    Nothing goes while another process reads or writes there, or where that cannot be known: a later command does it.
    """
    if (held := held_by(sizes_of(path for part in _parts(cache) for path in part.paths))) <= size:
        return
    with cache_alone(cache, unknown=False) as is_alone:
        if not is_alone:
            logger.info("%s holds %s, and stays so while other processes use it.", cache, megabytes(held))
            return
        _remove_oldest(cache, size)


def _parts(cache: Path) -> list[Part]:
    return [part for part in cache_parts(cache) if part.kind == "cache"]


def _remove_oldest(cache: Path, size: int) -> None:
    sizes = [(part, sizes_of(part.paths)) for part in _parts(cache)]  # anew: another process may have done so
    held, freed, fault = sum(held_by(of_part) for _, of_part in sizes), 0, ""
    for part, of_part in sorted(sizes, key=lambda each: changed_at(each[1])):
        if held - freed <= size:
            break
        try:
            _check_writable(part)
            remove(part)
            freed += freed_by(of_part)
        except OSError as error:  # another user's, or on a disk that is only read
            fault = fault or str(error)
    if freed:
        text = "%s of what was not used for longest was removed from %s (paths.cache_size): it held %s."
        logger.info(text, megabytes(freed), cache, megabytes(held))
    if fault and held - freed > size:
        text = "%s holds %s, more than paths.cache_size, and what is there cannot be removed: %s"
        logger.warning(text, cache, megabytes(held - freed), fault)


def _check_writable(part: Part) -> None:
    """Raise PermissionError where a folder could be renamed, but not emptied."""
    for path in part.paths:
        if path.is_dir() and not os.access(path, os.W_OK):
            raise PermissionError(f"no right to write in {path}")

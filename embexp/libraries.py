"""The imports that take seconds, where a run does them on purpose: once all that can be told without them was told."""

import os

from embexp.stopwatch import IMPORTING, WATCH


@WATCH.part(IMPORTING)
def import_data_libraries() -> None:
    """What reads rows (half a second); sentence-transformers would import it, too."""
    import datasets  # noqa: F401


@WATCH.part(IMPORTING)
def import_training_libraries() -> None:
    """What trains (three seconds and more).

    oneDNN keeps what it compiles for a shape, by default for 1,024 shapes; hardly two batches of texts have the same
    one, and what is kept soon holds much memory around it (0.5 GB more after 600 steps).
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
    import sentence_transformers  # noqa: F401

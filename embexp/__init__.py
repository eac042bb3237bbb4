"""embexp: the referee of fine-tuned text-embedding models. `embexp.run(...)` is `embexp ...` from Python."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embexp.api import (
        EmbexpError,
        Report,
        Run,
        compare,
        evaluate,
        gate,
        leaderboard,
        load,
        pairs,
        power,
        race,
        run,
    )

__version__ = "0.1.0"
__all__ = [
    "EmbexpError",
    "Report",
    "Run",
    "compare",
    "evaluate",
    "gate",
    "leaderboard",
    "load",
    "pairs",
    "power",
    "race",
    "run",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """What `embexp.api` holds, imported when it is used: `import embexp` is cheap."""
    if name not in __all__:
        raise AttributeError(f"module 'embexp' has no attribute {name!r}")
    import embexp.api

    return getattr(embexp.api, name)

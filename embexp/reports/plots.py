"""Pictures of scores."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

# Okabe & Ito 2008: told apart by colour-blind readers, too.
LOW, MIDDLE, HIGH = "#D55E00", "#999999", "#0072B2"
BINS = (
    (0, 1 / 3, LOW, "gold below 1/3"),
    (1 / 3, 2 / 3, MIDDLE, "gold 1/3 to 2/3"),
    (2 / 3, 1.01, HIGH, "gold above 2/3"),
)


def plot_score_distribution(
    path: Path,
    title: str,
    gold: "numpy.ndarray",
    base: "numpy.ndarray",
    trained: "numpy.ndarray",
    headings: tuple[str, str],
    similarity: str,
) -> None:
    """Histograms of predicted similarity by gold score, base above trained, on the same axis, as a PNG."""
    import numpy
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    edges = numpy.linspace(min(base.min(), trained.min()), max(base.max(), trained.max()), 41)
    axes = figure.subplots(2, 1, sharex=True, sharey=True)
    for axis, values, heading in zip(axes, (base, trained), headings, strict=True):
        for low, high, colour, label in BINS:
            chosen = (gold >= low) & (gold < high)
            axis.hist(values[chosen], edges, color=colour, alpha=0.55, label=f"{label} ({chosen.sum()})")
        axis.set_title(heading, loc="left", fontsize=13)
        axis.set_ylabel("pairs", fontsize=12)
        axis.tick_params(labelsize=11)
    axes[0].legend(fontsize=11)
    axes[1].set_xlabel(f"{similarity} similarity", fontsize=12)
    figure.suptitle(title, fontsize=14, x=0.02, ha="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)

"""Losses of sentence-transformers that take a distance function, with the distance chosen by name."""

from typing import Any

from embexp.errors import ConfigError, did_you_mean, listed


def contrastive(model: Any, distance: str = "cosine", margin: float = 0.5, size_average: bool = True) -> Any:
    """ContrastiveLoss (Hadsell et al. 2006): pulls pairs labelled 1 together, pushes those labelled 0 apart.

    Reads sentence1, sentence2 and a label of 0 or 1. With distance d, label y and margin m:
    0.5 * (y * d^2 + (1 - y) * max(0, m - d)^2).

    Args:
        distance: cosine (0 to 2), euclidean or manhattan.
        margin: negatives further apart than this cost nothing, in units of the distance.

    Raises:
        ConfigError: the distance has another name.
    """
    from sentence_transformers.sentence_transformer.losses import ContrastiveLoss, SiameseDistanceMetric

    metric = _named(
        distance,
        cosine=SiameseDistanceMetric.COSINE_DISTANCE,
        euclidean=SiameseDistanceMetric.EUCLIDEAN,
        manhattan=SiameseDistanceMetric.MANHATTAN,
    )
    return ContrastiveLoss(model, distance_metric=metric, margin=margin, size_average=size_average)


def triplet(model: Any, distance: str = "cosine", margin: float = 0.5) -> Any:
    """TripletLoss (Schroff et al. 2015): the negative must be further from the anchor than the positive by a margin.

    Reads anchor, positive and one negative: max(0, d(a, p) - d(a, n) + margin).

    Args:
        distance: cosine (0 to 2), euclidean or manhattan.
        margin: in units of the distance: about 0.5 for cosine, 5 for euclidean on vectors that are not normalised.

    Raises:
        ConfigError: the distance has another name.
    """
    from sentence_transformers.sentence_transformer.losses import TripletDistanceMetric, TripletLoss

    metric = _named(
        distance,
        cosine=TripletDistanceMetric.COSINE,
        euclidean=TripletDistanceMetric.EUCLIDEAN,
        manhattan=TripletDistanceMetric.MANHATTAN,
    )
    return TripletLoss(model, distance_metric=metric, triplet_margin=margin)


def _named(distance: str, **metrics: Any) -> Any:
    if distance not in metrics:
        raise ConfigError(
            f"loss.distance={distance} is not known. Expected one of: {listed(metrics)}. "
            f"{did_you_mean(distance, metrics)}".strip()
        )
    return metrics[distance]

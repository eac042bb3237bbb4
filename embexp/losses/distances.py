"""Losses of sentence-transformers that take a distance function, with the distance chosen by name."""

from typing import Any

from embexp.errors import ConfigError, did_you_mean, listed

# Unit vectors whose cosine distance is 0.5 are 1 apart by euclidean distance, the margin of Reimers & Gurevych 2019;
# 5 is the default of sentence-transformers.
_MARGINS = {"cosine": 0.5, "euclidean": 1.0, "manhattan": 5.0}


def _margin_for(distance: str, margin: float | None) -> float:
    """The margin that was given, or the one that suits the distance.

    >>> _margin_for("euclidean", None)
    1.0
    """
    return _MARGINS[distance] if margin is None else margin


def contrastive(model: Any, distance: str = "cosine", margin: float | None = None, size_average: bool = True) -> Any:
    """ContrastiveLoss (Hadsell et al. 2006): pulls pairs labelled 1 together, pushes those labelled 0 apart.

    Reads sentence1, sentence2 and a label of 0 or 1. With distance d, label y and margin m:
    0.5 * (y * d^2 + (1 - y) * max(0, m - d)^2).

    Args:
        distance: cosine (0 to 2), euclidean or manhattan.
        margin: negatives further apart than this cost nothing, in units of the distance; None for one that suits it.

    Raises:
        ConfigError: the distance has another name.
    """
    from sentence_transformers.sentence_transformer.losses import ContrastiveLoss

    metric, margin = _pair_metric(distance), _margin_for(distance, margin)
    return ContrastiveLoss(model, distance_metric=metric, margin=margin, size_average=size_average)


def online_contrastive(model: Any, distance: str = "cosine", margin: float | None = None) -> Any:
    """OnlineContrastiveLoss: contrastive loss on the hard pairs of a batch only, summed over them.

    Reads sentence1, sentence2 and a label of 0 or 1. Hard are positives further apart than the nearest negative, and
    negatives nearer than the furthest positive. Usually better than contrastive, whose arguments and errors it has.
    """
    from sentence_transformers.sentence_transformer.losses import OnlineContrastiveLoss

    return OnlineContrastiveLoss(model, distance_metric=_pair_metric(distance), margin=_margin_for(distance, margin))


def triplet(model: Any, distance: str = "cosine", margin: float | None = None) -> Any:
    """TripletLoss (Schroff et al. 2015): the negative must be further from the anchor than the positive by a margin.

    Reads anchor, positive and one negative: max(0, d(a, p) - d(a, n) + margin).

    Args:
        distance: cosine (0 to 2), euclidean or manhattan.
        margin: in units of the distance; None for the one that suits it.

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
    return TripletLoss(model, distance_metric=metric, triplet_margin=_margin_for(distance, margin))


def batch_all(model: Any, distance: str = "cosine", margin: float | None = None) -> Any:
    """BatchAllTripletLoss (Hermans et al. 2017): the mean of max(0, d(a, p) - d(a, n) + margin) where it is positive.

    Reads text and label; the triplets are all those of a batch whose positive is of the anchor's class and whose
    negative is not.

    Args:
        distance: cosine (0 to 2) or euclidean.
        margin: in units of the distance; None for the one that suits it.

    Raises:
        ConfigError: the distance has another name.
    """
    from sentence_transformers.sentence_transformer.losses import BatchAllTripletLoss

    return BatchAllTripletLoss(model, distance_metric=_between_all(distance), margin=_margin_for(distance, margin))


def batch_hard(model: Any, distance: str = "cosine", margin: float | None = None) -> Any:
    """BatchHardTripletLoss (Hermans et al. 2017): each text with its furthest classmate and its nearest stranger.

    Reads text and label. Arguments and errors as in batch_all.
    """
    from sentence_transformers.sentence_transformer.losses import BatchHardTripletLoss

    return BatchHardTripletLoss(model, distance_metric=_between_all(distance), margin=_margin_for(distance, margin))


def batch_semi_hard(model: Any, distance: str = "cosine", margin: float | None = None) -> Any:
    """BatchSemiHardTripletLoss (Schroff et al. 2015): negatives just beyond the positive, else the furthest one.

    Reads text and label. Arguments and errors as in batch_all.
    """
    from sentence_transformers.sentence_transformer.losses import BatchSemiHardTripletLoss

    return BatchSemiHardTripletLoss(model, distance_metric=_between_all(distance), margin=_margin_for(distance, margin))


def batch_hard_soft_margin(model: Any, distance: str = "cosine") -> Any:
    """BatchHardSoftMarginTripletLoss (Hermans et al. 2017): batch_hard with log(1 + exp(d(a, p) - d(a, n))).

    Reads text and label. There is no margin; distance and errors as in batch_all.
    """
    from sentence_transformers.sentence_transformer.losses import BatchHardSoftMarginTripletLoss

    return BatchHardSoftMarginTripletLoss(model, distance_metric=_between_all(distance))


def _between_all(distance: str) -> Any:
    from sentence_transformers.sentence_transformer.losses import BatchHardTripletLossDistanceFunction

    return _named(
        distance,
        cosine=BatchHardTripletLossDistanceFunction.cosine_distance,
        euclidean=BatchHardTripletLossDistanceFunction.euclidean_distance,
    )


def _pair_metric(distance: str) -> Any:
    from sentence_transformers.sentence_transformer.losses import SiameseDistanceMetric

    return _named(
        distance,
        cosine=SiameseDistanceMetric.COSINE_DISTANCE,
        euclidean=SiameseDistanceMetric.EUCLIDEAN,
        manhattan=SiameseDistanceMetric.MANHATTAN,
    )


def _named(distance: str, **metrics: Any) -> Any:
    if distance not in metrics:
        expected, note = f"one of: {listed(metrics)}", did_you_mean(distance, metrics)
        raise ConfigError("is not known", key="loss.distance", given=distance, expected=expected, note=note)
    return metrics[distance]

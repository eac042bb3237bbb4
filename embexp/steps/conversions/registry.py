"""All conversions: which shape can become which, and how."""

from embexp.data.shapes import SHAPES
from embexp.steps.conversions import (
    binary_pairs,
    class_pairs,
    labelled_texts,
    plain_texts,
    ranked_lists,
    scored_pairs,
    triplet_rows,
)
from embexp.steps.conversions.conversion import Conversion

_WITHOUT_LABELS = ("text", "twin_text", "noised_text")

CONVERSIONS = (
    Conversion(
        "class_pair", "triplet", class_pairs.to_triplets, "premises with {positive_labels} and {negative_labels}"
    ),
    Conversion("class_pair", "positive_pair", class_pairs.to_positive_pairs, "{positive_labels} only"),
    Conversion("class_pair", "binary_pair", class_pairs.to_binary_pairs, "{positive_labels} 1, {negative_labels} 0"),
    Conversion("class_pair", "scored_pair", class_pairs.to_scored_pairs, "{label_scores}"),
    Conversion("ranked", "triplet", ranked_lists.to_triplets, "one row per positive, each with {negatives}"),
    Conversion("ranked", "positive_pair", ranked_lists.to_positive_pairs, "one row per positive"),
    Conversion(
        "ranked",
        "scored_triplet",
        ranked_lists.to_scored_triplets,
        "one row per positive, each with {negatives} and their scores",
    ),
    Conversion("triplet", "positive_pair", triplet_rows.to_positive_pairs, "negatives left out"),
    Conversion("triplet", "binary_pair", triplet_rows.to_binary_pairs, "positive 1, each negative 0"),
    Conversion("scored_triplet", "triplet", triplet_rows.without_scores, "scores left out"),
    Conversion("labelled_text", "triplet", labelled_texts.to_triplets, "positive and negative sampled by class"),
    Conversion("labelled_text", "positive_pair", labelled_texts.to_positive_pairs, "positive sampled from the class"),
    Conversion("binary_pair", "positive_pair", binary_pairs.to_positive_pairs, "pairs labelled 1 only"),
    Conversion("binary_pair", "scored_pair", binary_pairs.to_scored_pairs, "the label as score"),
    Conversion(
        "scored_pair",
        "positive_pair",
        scored_pairs.to_positive_pairs,
        "pairs scored at least {min_score}",
        ("min_score",),
    ),
    Conversion(
        "scored_pair",
        "binary_pair",
        scored_pairs.to_binary_pairs,
        "at least {min_score} is 1, at most {max_score} 0",
        ("min_score", "max_score"),
    ),
    # Texts lead to no labelled shape: labels that were dropped are not made up again.
    *(
        Conversion(shape, "text", plain_texts.to_texts, "distinct texts, labels left out")
        for shape in SHAPES
        if shape not in _WITHOUT_LABELS
    ),
    Conversion("text", "twin_text", plain_texts.to_twins, "each text twice"),
    Conversion("text", "noised_text", plain_texts.to_noised_texts, "{deletion_ratio} of the words deleted"),
)

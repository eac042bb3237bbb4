"""The check before training: each thing it finds, on rows that one can check by hand."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from embexp.config.compose import option_of
from embexp.data.row_checks import dataset_of
from embexp.errors import Problem
from embexp.experiment.data_checks import _rows_grouped_by_label, check_stage
from embexp.experiment.settings_checks import check_companions
from embexp.losses.modifiers import modifier_of
from embexp.losses.spec import spec_of
from embexp.models.adapters import LoraAdapter
from embexp.models.pretrained import PretrainedModel
from embexp.models.scratch import wordpiece_tokenizer
from embexp.models.stack import StaticModel
from embexp.training.stages import StagePlan

TEXTS = [f"text {letter}" for letter in "abcdefgh"]
OTHERS = [f"answer {letter}" for letter in "abcdefgh"]
STRANGERS = [f"nothing {letter}" for letter in "abcdefgh"]


def stage_of(loss: str, shape: str, columns: dict, modifier: str = "none", changes: dict | None = None, **trainer):
    """A stage on these rows, in batches of 4 unless the trainer says otherwise."""
    node = option_of("loss", loss) | (changes or {})
    spec = spec_of(loss, node, modifier_of(modifier, option_of("modifier", modifier)))
    trainer = {"per_device_train_batch_size": 4} | trainer
    return StagePlan("main", dataset_of("toy", shape, {"train": columns}), spec, trainer, Path("nowhere"))


def findings_of(*arguments, model=None, place=None, **settings):
    return check_stage(stage_of(*arguments, **settings), model, place)


def pairs(anchors=TEXTS, positives=OTHERS, **negatives):
    return {"anchor": anchors, "positive": positives} | negatives


def only(problems: tuple[Problem, ...]) -> str:
    (problem,) = problems
    return str(problem)


def test_right_data_and_settings_give_nothing_to_say():
    findings = findings_of("mnrl", "triplet", pairs(negative_1=STRANGERS))
    assert (findings.errors, findings.warnings) == ((), ())


# Classes


def test_too_few_classes_with_two_texts_stop_a_loss_that_draws_triplets_by_class():
    findings = findings_of("batch_hard", "labelled_text", {"text": TEXTS, "label": [0, 0, 0, 0, 0, 0, 1, 2]})
    assert only(findings.errors).startswith(
        "1 of 3 classes of toy have 2 texts or more in train; the loss batch_hard needs 2 such classes."
    )


def test_rows_that_no_batch_takes_are_counted():
    labels = [0, 0, 0, 0, 0, 1, 1, 2]  # pairs: two and one; turns end with class 1: one pair of each
    findings = findings_of("batch_all", "labelled_text", {"text": TEXTS, "label": labels})
    assert findings.errors == ()
    assert only(findings.warnings) == (
        "4 of 8 rows (50.0 %) of toy are left out of every epoch: batches are made of pairs of at least two classes, "
        "1 of 3 classes have fewer than 2 texts, and the largest class ends with the second largest (2 texts)"
    )


@pytest.mark.parametrize("counts", [[5, 2], [9, 9, 3], [2, 2, 2], [40, 7, 7, 6]])
@pytest.mark.parametrize("batch_size", [4, 6, 8])
def test_the_rows_of_an_epoch_are_those_of_the_library(counts, batch_size):
    from datasets import Dataset
    from sentence_transformers.base.sampler import GroupByLabelBatchSampler

    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    rows = Dataset.from_dict({"text": [str(number) for number in range(len(labels))], "label": labels})
    sampler = GroupByLabelBatchSampler(rows, batch_size, drop_last=False, valid_label_columns=["label"])
    assert _rows_grouped_by_label(counts, batch_size) == sum(len(batch) for batch in sampler)


@pytest.mark.parametrize(("size", "instead"), [(2, 4), (7, 8)])
def test_batches_of_pairs_need_an_even_size_of_4_or_more(size, instead):
    columns = {"text": TEXTS, "label": [0, 1] * 4}
    error = only(findings_of("batch_hard", "labelled_text", columns, per_device_train_batch_size=size).errors)
    assert error.endswith(
        f"Expected an even number of 4 or more.\nhint: type trainer.per_device_train_batch_size={instead}"
    )


# Labels


@pytest.mark.parametrize(
    ("loss", "shape", "columns", "message"),
    [
        (
            "cosent",
            "scored_pair",
            {"score": [0.5] * 8},
            "score of toy is 0.5 in all 8 training rows: the loss cosent has",
        ),
        ("contrastive", "binary_pair", {"label": [1] * 8}, "label of toy is 1 in all 8 training rows"),
        ("softmax", "class_pair", {"label": [2] * 8}, "label of toy is 2 in all 8 training rows"),
    ],
)
def test_labels_that_are_all_equal_teach_nothing(loss, shape, columns, message):
    findings = findings_of(loss, shape, {"sentence1": TEXTS, "sentence2": OTHERS} | columns)
    assert only(findings.errors).startswith(message)


def test_margins_are_no_teacher_scores_for_distill_kl_and_fit_margin_mse():
    columns = pairs(negative_1=STRANGERS, label=[[0.1]] * 8)
    error = only(findings_of("distill_kl", "scored_triplet", columns).errors)
    assert error.startswith(
        "label of toy holds margins in 8 of 8 rows (100.0 %); the loss distill_kl reads the teacher's 2 raw scores"
    )
    assert error.endswith("hint: type loss=margin_mse")
    assert findings_of("margin_mse", "scored_triplet", columns).errors == ()


def test_teacher_embeddings_of_different_lengths_are_refused():
    columns = {"text": TEXTS, "label": [[1.0, 2.0]] * 6 + [[1.0]] * 2}
    error = only(findings_of("mse", "embedded_text", columns).errors)
    assert error.startswith("label of toy holds lists of different lengths: 1 (2 rows), 2 (6 rows).")


# Texts


@pytest.mark.parametrize(
    "ids",
    [
        [str(number) for number in range(8)],
        [f"{number:032x}" for number in range(8)],
        [f"8f3a{number:04d}-1111-2222-3333-444455556666" for number in range(8)],
    ],
)
def test_a_column_of_ids_is_refused(ids):
    error = only(findings_of("mnrl", "positive_pair", pairs(ids)).errors)
    assert error.startswith(f"anchor of toy holds ids, not texts: {ids[0]!r} and 7 more of 8. Expected texts: map")
    assert error.endswith("Expected texts: map the column that has them.")
    stage = stage_of("mnrl", "positive_pair", pairs(ids))
    stage = replace(stage, dataset=replace(stage.dataset, provenance={"ignored_columns": "id, body"}))
    assert only(check_stage(stage, None, None).errors).endswith(
        "\nhint: type 'dataset.reader.columns={anchor: id}'\nhint: type 'dataset.reader.columns={anchor: body}'"
    )


def test_some_ids_among_texts_are_a_warning_and_few_are_nothing():
    assert only(findings_of("mnrl", "positive_pair", pairs(["17", "18", *TEXTS[2:]])).warnings).startswith(
        "anchor of toy holds ids, not texts: '17' and 1 more of 8."
    )
    assert findings_of("mnrl", "positive_pair", pairs(["17", *TEXTS[1:]])).warnings == ()


def test_positives_that_are_their_anchor_are_a_warning_and_an_error_when_nearly_all_are():
    assert only(findings_of("mnrl", "positive_pair", pairs(positives=[TEXTS[0], *OTHERS[1:]])).warnings).startswith(
        "In 1 of 8 rows (12.5 %) of toy the positive is the anchor itself, from which nothing is learned."
    )
    error = only(findings_of("mnrl", "positive_pair", pairs(positives=TEXTS)).errors)
    assert "In 8 of 8 rows (100.0 %)" in error
    assert "hint: type loss=simcse" in error


def test_twins_are_right_for_simcse():
    findings = findings_of("simcse", "twin_text", {"text": TEXTS, "twin": TEXTS})
    assert (findings.errors, findings.warnings) == ((), ())


@pytest.mark.parametrize("same_as", [TEXTS, OTHERS])
def test_a_negative_that_is_the_anchor_or_the_positive_is_refused(same_as):
    columns = pairs(negative_1=[same_as[0], *STRANGERS[1:]])
    error = only(findings_of("triplet", "triplet", columns).errors)
    assert error.startswith("In 1 of 8 rows (12.5 %) of toy a negative is the anchor or the positive itself")


def test_one_such_negative_in_a_hundred_rows_is_a_warning():
    anchors, positives = [f"a{n} x" for n in range(100)], [f"p{n} x" for n in range(100)]
    negatives = [positives[0], *[f"n{n} x" for n in range(99)]]
    findings = findings_of("triplet", "triplet", pairs(anchors, positives, negative_1=negatives))
    assert findings.errors == ()
    assert "In 1 of 100 rows (1.0 %)" in only(findings.warnings)


def test_a_text_in_more_rows_than_there_are_batches_makes_rows_be_skipped():
    anchors = ["text a"] * 5 + TEXTS[5:]  # five rows share a text; 8 rows make two batches of 4
    assert only(findings_of("mnrl", "positive_pair", pairs(anchors)).warnings) == (
        "5 of 8 rows (62.5 %) of toy share a text with another row and are kept in different batches. 'text a' is "
        "in 5 rows, but an epoch has 2 batches: at least 3 rows are skipped. "
        "Expected smaller batches, or fewer repetitions."
    )
    assert findings_of("mnrl", "positive_pair", pairs(["text a"] * 2 + TEXTS[2:])).warnings == ()


def test_rows_with_negatives_that_share_the_texts_of_classes_are_sent_to_a_loss_without_in_batch_negatives():
    classes = ["about a refund", "about a card"] * 4
    columns = pairs(TEXTS, classes, negative_1=classes[1:] + classes[:1])
    warning = only(findings_of("mnrl", "triplet", columns).warnings)
    assert warning.startswith("8 of 8 rows (100.0 %) of toy share a text with another row and are kept in different")
    assert warning.endswith("hint: type loss=own_negatives")
    unsorted = findings_of("mnrl", "triplet", columns, batch_sampler="batch_sampler").warnings
    assert "type loss=own_negatives" in str(unsorted[-1])
    assert findings_of("own_negatives", "triplet", columns).warnings == ()


def test_one_row_has_no_negatives():
    assert "toy has one training row" in only(findings_of("mnrl", "positive_pair", pairs(["a b"], ["c d"])).errors)


@pytest.fixture
def local_model(tmp_path) -> tuple[PretrainedModel, dict[str, str]]:
    """A folder with a tokenizer that reads four tokens, two of them special ones, and no weights."""
    wordpiece_tokenizer(["one two three four five"], 100, 512).save_pretrained(tmp_path)
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 4}))
    model = PretrainedModel(path=str(tmp_path))
    return model, {"source": "path", "location": str(tmp_path), "id": "mine", "revision": "", "sha256": ""}


def test_texts_that_are_cut_are_counted(local_model):
    model, place = local_model
    columns = pairs(["one two", "one two three", "one", "two"], ["three", "four", "five", "three four five"])
    messages = findings_of("mnrl", "positive_pair", columns, model=model, place=place).warnings
    assert [message.partition(" are longer")[0] for message in map(str, messages)] == [
        "anchor of toy: 1 of 4 texts (25.0 %)",
        "positive of toy: 1 of 4 texts (25.0 %)",
    ]
    assert "the 4 tokens that the model reads" in str(messages[0])
    longer = replace(model, max_seq_length=5)
    assert findings_of("mnrl", "positive_pair", columns, model=longer, place=place).warnings == ()


@pytest.mark.parametrize(("most", "prompt"), [(1, ""), (2, ""), (3, "one "), (4, "five five ")])
def test_texts_of_which_the_same_is_left_are_refused(local_model, most, prompt):
    model, place = local_model
    columns = pairs([f"{prompt}{text} two" for text in ("three", "four", "five")], ["one", "two", "two"])
    (problem,) = findings_of(
        "mnrl", "positive_pair", columns, model=replace(model, max_seq_length=most), place=place
    ).errors[:1]
    assert f"longer than the {most} tokens that the model reads" in str(problem)
    assert f"(2 of them signs of begin and end) is the same for all. {EXPECTED}" in str(problem)


EXPECTED = "Expected shorter texts, or a longer limit."


def test_models_that_are_not_here_are_not_checked(local_model):
    model, place = local_model
    columns = pairs(["one two three four five"] * 2, ["one", "two"])
    for other in (place | {"source": "hub"}, None):
        warnings = findings_of("mnrl", "positive_pair", columns, model=model, place=other).warnings
        assert "longer" not in " ".join(map(str, warnings))


# Settings


@pytest.mark.parametrize(
    ("loss", "trainer", "message"),
    [
        (
            "mnrl",
            {"per_device_train_batch_size": 1},
            "leaves the loss mnrl nothing to learn: it compares a row with the others of its batch.",
        ),
        (
            "mnrl",
            {"batch_sampler": "group_by_label"},
            "does not go with the loss mnrl, which groups no classes. Expected no_duplicates",
        ),
        ("mnrl", {"batch_sampler": "no_duplicate"}, "Did you mean 'no_duplicates'"),
    ],
)
def test_settings_under_which_a_loss_cannot_learn_are_refused(loss, trainer, message):
    assert message in only(findings_of(loss, "positive_pair", pairs(), **trainer).errors)


def test_a_loss_that_draws_by_class_keeps_its_sampler():
    columns = {"text": TEXTS, "label": [0, 1] * 4}
    error = only(findings_of("batch_hard", "labelled_text", columns, batch_sampler="no_duplicates").errors)
    assert error.startswith(
        "trainer.batch_sampler=no_duplicates does not go with the loss batch_hard, whose batches need"
    )
    assert error.endswith("hint: type ++trainer.batch_sampler=group_by_label")


@pytest.mark.parametrize(
    ("loss", "trainer", "message"),
    [
        ("mnrl", {"batch_sampler": "batch_sampler"}, "may put a text into a batch twice"),
        (
            "mnrl",
            {"gradient_accumulation_steps": 4},
            "adds no negatives: each batch of 4 is its own. Expected larger batches for more negatives, or cached_mnrl "
            "if memory is short.\n"
            "hint: type trainer.gradient_accumulation_steps=1 trainer.per_device_train_batch_size=8\n"
            "hint: type trainer.gradient_accumulation_steps=1 trainer.per_device_train_batch_size=8 loss=cached_mnrl",
        ),
        ("cached_mnrl", {"gradient_checkpointing": True}, "hint: type trainer.gradient_checkpointing=false"),
        ("mega_batch", {}, "trainer.per_device_train_batch_size=4 gives the loss mega_batch few rows to find"),
    ],
)
def test_settings_that_cost_quality_are_warned_of(loss, trainer, message):
    findings = findings_of(loss, "positive_pair", pairs(), **trainer)
    assert findings.errors == ()
    assert message in only(findings.warnings)


def test_with_another_sampler_rows_that_share_a_text_are_counted():
    anchors = ["text a"] * 2 + TEXTS[2:]
    _, shared = findings_of("mnrl", "positive_pair", pairs(anchors), batch_sampler="batch_sampler").warnings
    assert str(shared).startswith("2 of 8 rows (25.0 %) of toy share a text with another row: in one batch")


@pytest.mark.parametrize(("loss", "modifier"), [("cached_mnrl", "adaptive_layer"), ("mega_batch", "matryoshka_2d")])
def test_a_modifier_that_does_not_compose_is_refused_with_those_that_do(loss, modifier):
    error = only(findings_of(loss, "positive_pair", pairs(), modifier, per_device_train_batch_size=500).errors)
    assert error.startswith(f"modifier={modifier} does not compose with the loss {loss}, which embeds a batch twice")
    assert error.endswith("hint: type modifier=matryoshka\nhint: type modifier=none")


def test_a_trait_that_an_argument_switches_off_is_reported_and_goes_with_it():
    error = only(findings_of("mega_batch", "positive_pair", pairs(), "adaptive_layer").errors)
    assert "hint: type loss.use_mini_batched_version=false\nhint: type modifier=matryoshka" in error
    changes = {"use_mini_batched_version": False}
    assert findings_of("mega_batch", "positive_pair", pairs(), "adaptive_layer", changes).errors == ()


def test_a_table_of_token_vectors_is_no_transformer():
    static = StaticModel(PretrainedModel(id="a/b"))
    columns = {"damaged": OTHERS, "original": TEXTS}
    assert only(findings_of("tsdae", "noised_text", columns, model=static).errors) == (
        "loss=tsdae needs a transformer; the model has none. Expected a model with one, or another loss.\n"
        "hint: type model=minilm\nhint: type loss=mnrl"
    )
    error = only(findings_of("mnrl", "positive_pair", pairs(), "adaptive_layer", model=static).errors)
    assert error.startswith("modifier=adaptive_layer needs a transformer")


def test_a_decoder_that_shares_the_weights_does_not_go_with_an_adapter():
    pytest.importorskip("peft")
    adapter = LoraAdapter(4, 8, 0.0, "all-linear", None, "none", False, False, False)
    model = PretrainedModel(id="a/b", adapter=adapter)
    columns = {"damaged": OTHERS, "original": TEXTS}
    error = only(findings_of("tsdae", "noised_text", columns, model=model).errors)
    assert error.endswith("another loss for plain texts.\nhint: type model.adapter=null\nhint: type loss=simcse")
    assert findings_of("mnrl", "positive_pair", pairs(), model=model).errors == ()


def test_the_check_imports_neither_torch_nor_sentence_transformers():
    program = """
import sys
import test_checking as tests
found = tests.findings_of("mnrl", "positive_pair", tests.pairs(["text a"] * 8))
print([name for name in ("torch", "sentence_transformers") if name in sys.modules], len(found.warnings))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert done.stdout == "[] 1\n", done.stderr


# Other models that a loss reads


def saved(folder: Path, tensors: list[str], config: dict) -> Path:
    """A model's folder as far as the check reads it: the names of its tensors, and its configuration."""
    folder.mkdir()
    header = json.dumps({name: {} for name in tensors}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"weights")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_folder_without_a_transformer_is_no_guide(tmp_path):
    folder = saved(tmp_path / "static", ["embedding.weight"], {})
    changes = {"guide": str(folder)}
    error = only(findings_of("gist", "positive_pair", pairs(), changes=changes).errors)
    assert error.startswith(f"loss.guide={folder} holds no transformer: ")
    assert error.endswith("a model with one: an option, a folder or a Hub id.\nhint: type loss.guide=minilm")
    transformer = saved(tmp_path / "bert", ["embeddings.weight"], {"model_type": "bert"})
    assert findings_of("gist", "positive_pair", pairs(), changes={"guide": str(transformer)}).errors == ()


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(("head", "fills"), [("cls.predictions.bias", True), ("pooler.dense.bias", False)])
def test_a_generator_that_fills_in_at_random_is_warned_of(tmp_path, head, fills, named):
    folder = saved(tmp_path / "bert", ["bert.embeddings.weight", head], {"model_type": "bert"})
    place = {"source": "path", "location": str(folder)}
    columns, changes = {"text": TEXTS, "twin": TEXTS}, {"generator": str(folder) if named else None}
    stage = stage_of("diffcse", "twin_text", columns, changes=changes)
    findings = check_companions(stage.loss, {"source": "hub", "location": "a/b"} if named else place)
    assert findings.errors == ()
    if fills:
        assert findings.warnings == ()
        return
    warning = only(findings.warnings)
    assert warning.startswith(
        f"loss.generator={folder} has no" if named else "loss.generator=null takes the base model"
    )
    assert "the loss diffcse trains on random replacements" in warning
    assert findings.warnings[0] in check_stage(stage, None, None if named else place).warnings


def test_a_model_from_scratch_generates_at_random():
    spec = stage_of("diffcse", "twin_text", {"text": TEXTS, "twin": TEXTS}).loss
    assert "random replacements" in only(check_companions(spec, {"source": "scratch", "location": "-"}).warnings)
    assert check_companions(spec, None).warnings == ()

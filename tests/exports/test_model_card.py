"""The model card: the run's own numbers and data, metadata that the Hub reads, nothing of this machine."""

import copy
import json
import re

import pytest
from huggingface_hub import ModelCard
from omegaconf import OmegaConf
from tiny_runs import tiny_plan, training_texts

from embexp.config.session import option_files
from embexp.exports.model_card import Sharing, _model_card, write_card
from embexp.losses.catalogue import class_name

ROW = {"evaluator": "stsb", "metric": "spearman_cosine", "primary": True, "headline": True}
NUMBERS = {"base": 0.8, "trained": 0.8123456, "difference": 0.0123456, "low": 0.002, "high": 0.02, "verdict": "better"}
RESULT = {
    "choices": {"dataset": "nli", "model": "minilm", "loss": "mnrl", "modifier": "matryoshka"},
    "seed": 7,
    "run": {"name": "mnrl · minilm · 7"},
    "data": ["nli as triplet (train 776 rows)", "read /home/me/files/nli: 9 -> 8 rows (1 empty)"],
    "warnings": ["4 of 9 rows of test are also in the training data. Type this.", "'a private text' repeats. Type."],
    "comparisons": [ROW | NUMBERS | {"split": split} for split in ("dev", "test")],
    "primary": ROW | NUMBERS | {"split": "test"},
    "training": "50 steps in 93.0 s (17.3 rows/s), best at step 26",
    "tags": {
        "base_model.id": "sentence-transformers/all-MiniLM-L6-v2",
        "base_model.source": "cache",
        "base_model.revision": "c9745ed1",
        "base_model.sha256": "53aa51",
        "data.train": "0123456789abcdef",
        "data.source": "/home/me/data (sentence-transformers/all-nli)",
        "data.revision": "d482672c",
        "version.embexp": "0.1.0",
        "version.torch": "2.13.0",
        "commit": "abc",
    },
}
CONFIG = {
    "dataset": {"reader": {"hub": "sentence-transformers/all-nli"}},
    "evaluator": {"stsb": {"dataset": {"reader": {"hub": "mteb/stsbenchmark-sts"}}}},
    "loss": {"_target_": "x.MultipleNegativesRankingLoss", "_accepts_": ["triplet"], "scale": 30.0},
    "modifier": {"_target_": "x.MatryoshkaLoss", "matryoshka_dims": [64, 32]},
    "trainer": {"_target_": "x.Arguments", "learning_rate": 2e-5},
    "model": {"_target_": "x.PretrainedModel", "num_layers": None, "pooling": None, "adapter": None},
}


def card(run_folder=None, result=RESULT, config=CONFIG, **sharing):
    return ModelCard(_model_card(result, config, run_folder, Sharing(**sharing)))


def test_the_metadata_are_what_the_hub_reads():
    data = card(license="mit", languages=["en"]).data.to_dict()
    assert data["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert data["datasets"] == ["sentence-transformers/all-nli"]
    assert (data["license"], data["language"]) == ("mit", ["en"])
    assert (data["pipeline_tag"], data["library_name"]) == ("sentence-similarity", "sentence-transformers")
    ((entry,),) = [model["results"] for model in data["model-index"]]
    assert entry["dataset"] == {"type": "mteb/stsbenchmark-sts", "name": "stsb", "split": "test"}
    assert [(metric["type"], metric["value"]) for metric in entry["metrics"]] == [("spearman_cosine", 0.812346)]


def test_people_find_it_by_its_losses_its_size_and_the_data_of_all_stages():
    stage = {"name": "tsdae", "data": ["own as noised_text (train 9 rows)"], "training": "4 steps"}
    mlm = stage | {"name": "mlm"}
    adapt = {
        "tsdae": {"loss": {"_target_": "x.DenoisingAutoEncoderLoss"}, "dataset": {"reader": {"id": "org/texts"}}},
        "mlm": {"loss": {"_target_": "transformers.DataCollator", "_trained_by_": "x.y"}, "dataset": None},
    }
    triplet = {"_target_": "embexp.losses.distances.triplet", "margin": None}
    result = RESULT | {"stages": [stage, mlm], "params": {"dataset.train_rows": 5000}}
    data = card(result=result, config=CONFIG | {"adapt": adapt, "loss": triplet}).data
    wanted = ["TripletLoss", "MatryoshkaLoss", "DenoisingAutoEncoderLoss"]
    assert [tag for tag in data.tags if ":" in tag] == [*(f"loss:{name}" for name in wanted), "dataset_size:5000"]
    assert data.datasets == ["sentence-transformers/all-nli", "org/texts"]
    assert {"sentence-transformers", "sentence-similarity", "feature-extraction", "embexp"} <= set(data.tags)


def test_losses_are_cited_as_sentence_transformers_cites_them_and_by_the_papers_of_their_yaml():
    for name, keys in {
        "mnrl": ["oord2019representationlearningcontrastivepredictive", "henderson-2017"],
        "cosine": [],  # the paper of sentence-transformers, which is always there
        "triplet": ["hermans2017defense", "schroff-2015"],
        "diffcse": ["chuang-2022"],
        "online_contrastive": [],
    }.items():
        loss = OmegaConf.to_container(OmegaConf.load(option_files("loss")[name]))
        text = card(config=CONFIG | {"loss": loss, "modifier": None}).text
        assert re.findall(r"@\w+{(.+),", text) == ["reimers-2019-sentence-bert", *keys], name
    own = {
        "_target_": "mine.Loss",
        "_paper_": "none; 李 2024; “X” of 1999 by nobody, 2020; Ann & Bob 2023, arXiv:2301.00001",
    }
    text = card(config=CONFIG | {"loss": own, "modifier": None}).text
    assert "author = {Ann and Bob}" in text
    assert "loss:Loss" in card(config=CONFIG | {"loss": own}).data.tags


@pytest.mark.parametrize("group", ["loss", "modifier"])
def test_every_loss_has_the_name_of_a_class(group):
    from sentence_transformers.sentence_transformer import losses

    own = {"ContrastiveTension", "DiffCSE", "InfoNCE", "OrthogonalRegularization"}
    nodes = [OmegaConf.to_container(OmegaConf.load(path)) for path in option_files(group).values()]
    names = {class_name(node) for node in nodes if "_target_" in node}
    assert len(names) > 2
    assert not [name for name in names - own if not hasattr(losses, name)]


@pytest.mark.parametrize(
    ("target", "task"),
    [
        ("x.similarity_evaluator", "semantic-similarity"),
        ("x.retrieval_evaluator", "information-retrieval"),
        ("x.paraphrase_mining_evaluator", "paraphrase-mining"),
    ],
)
def test_results_name_the_task_and_the_data_that_they_are_of(target, task):
    evaluator = {"stsb": {"_target_": target, "dataset": None}}
    row = RESULT["comparisons"][1] | {"data": "graded"}
    result = RESULT | {"comparisons": [row]}
    found = card(result=result, config=CONFIG | {"evaluator": evaluator, "test": {"reader": {"path": "graded.csv"}}})
    ((entry,),) = [model["results"] for model in found.data.to_dict()["model-index"]]
    assert entry["task"]["type"] == task
    assert entry["dataset"] == {"type": "unknown", "name": "graded", "split": "test"}


@pytest.mark.parametrize(
    ("prompts", "default", "call"),
    [
        ({}, None, 'model.encode(["a text", "another text"])'),
        ({"query": "q: ", "document": ""}, None, 'model.encode_document(["a text", "another text"])'),
        ({"sts": "Same? "}, None, 'model.encode(["a text", "another text"], prompt_name="sts")'),
        ({"sts": "Same? "}, "sts", 'model.encode(["a text", "another text"])'),
    ],
)
def test_the_lines_that_use_it_put_its_prompts_before_the_texts(prompts, default, call, finished, tmp_path):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(finished() / "stages/main/model"))
    model.prompts, model.default_prompt_name = prompts, default
    model.save_pretrained(str(tmp_path))
    text = write_card(tmp_path, RESULT, CONFIG).read_text()
    code = text.split("```python\n")[1].split("```")[0]
    assert call in code
    assert all(f"{name} `{prompt}`" in text for name, prompt in prompts.items() if prompt)
    assert "- modules: Transformer > Pooling\n" in text
    exec(code.replace("<this folder>", str(tmp_path)), {})


def test_people_read_numbers_data_settings_and_licenses():
    text = card(license="mit", data_license="cc-by-sa-4.0").text
    for part in (
        "| test/stsb/spearman_cosine \\* | 0.8000 | 0.8123 | +0.0123 | +0.0020 to +0.0200 | better |",
        "**better than** the untouched model: spearman_cosine 0.8123 against 0.8000.",
        "- revision: d482672c",
        "- license: cc-by-sa-4.0",
        "- base model: sentence-transformers/all-MiniLM-L6-v2, revision `c9745ed1`, sha256 `53aa51`",
        "`MultipleNegativesRankingLoss(scale=30.0)`",
        "`MatryoshkaLoss(matryoshka_dims=[64, 32])`",
        "- learning_rate: 2e-05",
        "embexp 0.1.0 (abc), torch 2.13.0",
        "- note: 4 of 9 rows of test are also in the training data\n",
    ):
        assert part in text


def test_neither_folders_of_this_machine_nor_quoted_texts_are_shown(tmp_path):
    (tmp_path / ".hydra").mkdir()
    typed = "- dataset.reader.path=/home/me/secret/rows.csv\n- loss=mnrl\n- tracking.uri=http://me:word@host\n"
    (tmp_path / ".hydra/overrides.yaml").write_text(typed)
    text = str(card(tmp_path))
    assert "python -m embexp dataset.reader.path=rows.csv loss=mnrl\n" in text
    assert "- source: data (sentence-transformers/all-nli)" in text
    assert "- step: read nli: 9 -> 8 rows (1 empty)" in text
    for private in ("/home", "secret", "word", "private text"):
        assert private not in text


def test_arguments_that_are_folders_are_named_by_their_last_part():
    guide = {"_target_": "x.PretrainedModel", "path": "/home/me/secret/guide", "places": ["file:///home/me/own"]}
    loss = CONFIG["loss"] | {"guide": guide, "generator": "/home/me/secret place/generator"}
    trainer = CONFIG["trainer"] | {"output_dir": "/home/me/out"}
    text = str(card(config=CONFIG | {"loss": loss, "trainer": trainer}))
    assert "guide=PretrainedModel(path='guide', places=['own']), generator='generator')`" in text
    assert "- output_dir: out\n" in text
    for private in ("/home", "secret"):
        assert private not in text


def test_what_was_done_to_the_base_model_is_shown_with_its_name():
    model = CONFIG["model"] | {"num_layers": 1, "pooling": "cls", "dtype": "float16", "max_seq_length": 64}
    model["adapter"] = {"_target_": "x.Lora", "r": 8, "merge": False}
    said = "first 1 layer, pooling cls, weights as float16, texts cut after 64 tokens, trained by an adapter of rank 8"
    text = card(config=CONFIG | {"model": model}).text
    assert f"model: sentence-transformers/all-MiniLM-L6-v2, {said}, trained with the loss" in text
    assert f"sha256 `53aa51`, {said}\n" in text


def test_a_model_from_scratch_is_called_by_its_option():
    tags = RESULT["tags"] | {"base_model.id": "scratch", "base_model.source": "scratch"}
    result = RESULT | {"tags": tags, "choices": RESULT["choices"] | {"model": "word_cnn"}}
    text = card(result=result).text
    assert "model: word_cnn, from scratch, trained with the loss" in text
    assert "BERT" not in text.partition("## Citation")[0]


def test_the_title_names_the_modifier():
    assert "# minilm trained with mnrl+matryoshka on nli\n" in card().text


@pytest.mark.parametrize(
    ("base", "told"),
    [
        ("/home/me/base", "a folder of the machine that trained it (named in `adapter_config.json`)"),
        ("org/base", "`org/base`"),
    ],
)
def test_an_adapter_says_that_it_needs_its_base_and_how_to_get_a_whole_model(base, told):
    text = " ".join(card(result=RESULT | {"adapter_base": base}).text.split())
    assert f"to load it takes `peft` and its base, {told}. A run with `model.adapter.merge=true` gives a whole" in text
    assert "/home" not in text
    assert "adapter" not in card().text


def test_a_license_of_ones_own_has_its_name_and_its_place():
    found = card(license="other", license_name="ours", license_link="LICENSE")
    assert (found.data.license, found.data.license_name, found.data.license_link) == ("other", "ours", "LICENSE")
    assert "ours (LICENSE). License of the training data" in found.text


def test_what_nobody_said_is_left_out_and_not_guessed():
    result = copy.deepcopy(RESULT)
    result["tags"] |= {"base_model.id": "/home/me/models/own", "base_model.source": "path"}
    config = CONFIG | {"dataset": {"reader": {"path": "x.csv"}}, "modifier": None}
    found = ModelCard(_model_card(result, config, None, Sharing()))
    assert not {"license", "language", "base_model", "datasets"} & set(found.data.to_dict())
    assert "- base model: own, revision" in found.text
    assert "Nobody has chosen a license yet" in found.text
    assert "- license: not stated" in found.text
    assert "modifier" not in found.text


def test_rows_are_shown_only_when_requested():
    assert "| how | so |" in card(examples=[{"anchor": "how", "positive": "so"}]).text
    assert "shown because" not in card().text


def test_every_run_leaves_its_card_with_the_model_and_no_training_text(finished, workplace):
    result = json.loads((finished() / "result.json").read_text())
    text = (finished() / "stages/main/model/README.md").read_text()
    assert f"| {result['metrics']['test/sts/spearman_cosine']:.4f} |" in text
    assert not [given for given in training_texts(workplace / "again") if given in text]
    assert "widget" not in text


def test_sentence_transformers_hands_the_card_on(finished, tmp_path):
    from sentence_transformers import SentenceTransformer

    model = finished() / "stages/main/model"
    SentenceTransformer(str(model)).save_pretrained(str(tmp_path))
    assert (tmp_path / "README.md").read_text() == (model / "README.md").read_text()


def test_a_plan_without_exports_has_none(workplace):
    assert tiny_plan(workplace / "run", "tracking=none").exports == ()


def test_a_verdict_without_an_interval_has_a_sentence_too():
    result = copy.deepcopy(RESULT)
    for row in (result["primary"], *result["comparisons"]):
        row["verdict"] = "no interval"
    text = _model_card(result, CONFIG, None, Sharing())
    assert "On test it is **not compared by an interval with** the untouched model" in text

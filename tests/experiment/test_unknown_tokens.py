"""The share of tokens that a model does not know: counted by its own tokenizer, refused where it is large."""

import json
from types import SimpleNamespace

import pytest
from recorded_runs import recorded

from embexp.config.compose import compose, instantiate, model_named, resolve
from embexp.data.bundled import read_bundled
from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, EmbexpError, ModelError
from embexp.experiment.plan import plan_run
from embexp.experiment.unknown_tokens import _unknown_findings, sampled_texts
from embexp.inspection.inspect_dataset import inspect
from embexp.leaderboards.make import make_leaderboard
from embexp.models.encoding import FrozenEncoder
from embexp.models.pretrained import PretrainedModel
from embexp.models.scratch import wordpiece_tokenizer
from embexp.models.tokens import UnknownTokens, models_for, scripts_of, unknown_by_files, unknown_by_model
from embexp.models.words import bag_of_words, static_vectors, word_vectors

MINE = PretrainedModel(path="mine")
CHINESE = "股票价格上涨"
TEXTS = ["one two", "one 股", "", "股 股"]


def counted(folder, texts):
    return unknown_by_files(MINE, {"source": "path", "location": str(folder)})(texts)


def saved(tokenizer, folder):
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def piece_tokenizers(folder):
    """A tokenizer of each kind that knows the letters of one and two, and nothing of Chinese."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    words = ["one two"] * 50
    found = {}
    for name, model, trainer in (
        ("wordpiece", models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(special_tokens=["[UNK]"])),
        ("wordlevel", models.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer(special_tokens=["[UNK]"])),
        ("unigram", models.Unigram(), trainers.UnigramTrainer(special_tokens=["<unk>"], unk_token="<unk>")),
        ("bpe", models.BPE(unk_token="[UNK]"), trainers.BpeTrainer(special_tokens=["[UNK]"])),
        ("bpe that leaves out", models.BPE(), trainers.BpeTrainer()),
        ("bytes", models.BPE(), trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet())),
    ):  # fmt: skip
        tokenizer = Tokenizer(model)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel() if name == "bytes" else pre_tokenizers.Whitespace()
        tokenizer.train_from_iterator(words, trainer)
        place = folder / name
        place.mkdir()
        found[name] = saved(tokenizer, place)
    return found


def test_every_kind_of_tokenizer_is_counted_by_what_it_does_not_know(tmp_path):
    for name, folder in piece_tokenizers(tmp_path).items():
        found = counted(folder, TEXTS)
        if name == "bytes":
            assert (found.unknown, found.unread) == (0, 0), name
            continue
        assert found.unread == 1, name
        assert found.example == "股 股", name
        assert found.texts == 3, name  # one is blank
        assert 0.2 < found.share < 0.7, name
        assert counted(folder, ["one two", "two"]).share == 0, name
        assert counted(folder, []).share == 0, name


def test_padding_special_tokens_and_truncation_do_not_count(tmp_path):
    wordpiece_tokenizer(["one two three"], 100, 8).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "tokenizer.json").read_text())
    written["truncation"] = {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(written))
    assert counted(tmp_path, ["one two three 股 股"]) == UnknownTokens(2, 5, 0, 1)
    assert counted(tmp_path, ["one", CHINESE]) == UnknownTokens(6, 7, 1, 2, CHINESE)


@pytest.mark.parametrize(
    ("module", "unknown", "total"),
    [
        (lambda: bag_of_words(["One two", "two three"], 100), 3, 5),
        (lambda: word_vectors(["One two", "two three"], 4, 100, 10), 3, 5),
        (lambda: static_vectors(["One two", "two three"], 4, 100), 4, 6),  # of pieces: a sign is one, too
    ],
    ids=["bow", "word_vectors", "static_vectors"],
)
def test_words_without_a_vector_are_unknown(module, unknown, total):
    found = unknown_by_model([module()])(["one two,", "股 ш", "股"])
    assert (found.unknown, found.unread, found.example) == (unknown, 2, "股 ш")
    assert found.total == total


def test_a_loaded_transformer_counts_as_its_files_do():
    texts = sampled_texts(read_bundled(corpus="finance_zh", name="zh", shape="scored_pair"), "test")
    model = model_named("model", "minilm")
    by_files = unknown_by_files(model, model.locate())(texts)
    assert 0.56 < by_files.share < 0.75
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model.locate()["location"])
    assert unknown_by_model([SimpleNamespace(tokenizer=tokenizer)])(texts) == by_files
    assert unknown_by_model([SimpleNamespace()]) is None


def test_of_many_texts_always_the_same_ones_are_counted(tmp_path):
    wordpiece_tokenizer(["one"], 100, 8).save_pretrained(tmp_path)
    texts = [f"one {'股' * (number % 3)} {number}" for number in range(5_000)]
    first = counted(tmp_path, texts)
    assert (first.texts, first) == (2_000, counted(tmp_path, texts))
    rows = dataset_of("many", "text", {"train": {"text": texts}})
    assert len(sampled_texts(rows, "train")) == 2_000
    assert sampled_texts(rows, "train") == sampled_texts(rows, "train")


@pytest.mark.parametrize(
    ("texts", "scripts"),
    [
        ([CHINESE], ["han"]),
        (["すべての人"], ["kana", "han"]),
        (["모든 사람"], ["hangul"]),
        (["все люди"], ["cyrillic"]),
        (["كل الناس"], ["arabic"]),
        (["hello"] * 50 + ["й"], ["latin"]),
        (["𒀀𒀀"], ["other"]),
        (["123 !?"], []),
    ],
)
def test_writing_systems(texts, scripts):
    assert scripts_of(texts) == scripts


def test_models_for_a_script_come_from_their_yamls_those_that_need_no_network_first():
    found = models_for(["han"])
    assert [*found][:3] == ["static_scratch", "small_bert", "tiny"]
    assert "bge_small_zh" in found
    assert not {"minilm", "bow"} & {*found}
    assert list(found.values()) == sorted(found.values())
    assert "static_scratch" not in models_for(["han"], needs_transformer=True)
    assert not {"static_scratch", "tiny"} & {*models_for(["han", "latin"], trained=True)}
    assert {"bow", "tiny"} < {*models_for(["cyrillic"])}
    assert next(iter(models_for(["latin"]))) == "minilm"


def findings_of(share, most=0.3, unread=0):
    found = {"train": UnknownTokens(0, 100, 0, 10), "test/sts": UnknownTokens(int(100 * share), 100, unread, 10, "股")}
    return _unknown_findings(found, [CHINESE], most, "model", "minilm")


def test_a_few_percent_are_nothing_more_are_a_warning_and_many_are_refused():
    assert findings_of(0.02) == findings_of(0.0)
    (warning,) = findings_of(0.2).warnings
    assert "model=minilm does not know many tokens of the texts: 0.0 % of train, 20.0 % of test/sts." in str(warning)
    assert "max_unknown_tokens" not in str(warning)
    (error,) = findings_of(0.6).errors
    assert error.fix == ("model=static_scratch", "model=bge_small_zh", "max_unknown_tokens=1")
    assert not findings_of(0.6, most=1).errors
    (unread,) = findings_of(0.01, unread=2).warnings
    assert "knows no word of some texts (2 of 10 of test/sts), such as '股'" in str(unread)


def planned(folder, *overrides):
    choices = {"dataset": "finance", "model": "minilm", "loss": "mnrl", "modifier": "none", "trainer": "default"}
    choices |= {key: value for key, _, value in (each.partition("=") for each in overrides) if key in choices}
    return plan_run(compose([*overrides, "tracking=none", "paths.cache=null"]), choices, folder)


@pytest.mark.parametrize("key", ["", "negatives=embedding model=tiny", "model=static"])
def test_a_run_whose_models_cannot_read_the_data_is_refused_and_what_to_type_leads_further(tmp_path, key):
    typed = ["dataset=finance_zh", *key.split()]
    with pytest.raises(EmbexpError, match="does not know many tokens of the texts: 6") as refusal:
        planned(tmp_path, *typed)
    for fix in (each for problem in refusal.value.problems for each in problem.fix):
        if "bge_small_zh" in fix or (fix.endswith("=1") and "negatives" in key):
            continue  # the Hub; a model would mine
        planned(tmp_path, *(each for each in typed if each.split("=")[0] != fix.split("=")[0]), fix)


def test_a_guide_that_cannot_read_the_data_is_refused_too(tmp_path):
    with pytest.raises(EmbexpError) as refusal:
        planned(tmp_path, "dataset=finance_zh", "loss=gist", "model=minilm")
    fixes = {problem.key: problem.fix for problem in refusal.value.problems}
    assert fixes == {
        "model": ("model=small_bert", "model=bge_small_zh", "max_unknown_tokens=1"),
        "loss.guide": ("loss.guide=bge_small_zh", "max_unknown_tokens=1"),
    }


@pytest.mark.parametrize("value", ["-0.1", "1.5", "nan"])
def test_the_limit_is_a_share(tmp_path, value):
    with pytest.raises(ConfigError, match="max_unknown_tokens"):
        planned(tmp_path, f"max_unknown_tokens={value}")


@pytest.mark.parametrize(
    ("overrides", "encoder"),
    [
        ("model=minilm", "minilm"),
        ("model=mpnet", "mpnet"),
        ("model=bge_small_zh", "bge_small_zh"),
        ("model=e5_small", "e5_small"),
        ("model=minilm_dense", "minilm"),
        ("model=static", "minilm"),
        ("model=tiny", "minilm"),
        ("model=pretrained model.path=org/name", "org/name"),
        ("model=mpnet dataset.steps.negatives.retriever.encoder.model=bert_base", "bert_base"),
    ],
)
def test_other_models_of_a_run_follow_its_own(overrides, encoder):
    config = resolve(compose([*overrides.split(), "negatives=embedding", "loss=gist"]))
    assert config["dataset"]["steps"]["negatives"]["retriever"]["encoder"]["model"] == encoder
    if "retriever" not in overrides:
        assert config["loss"]["guide"] == encoder


def test_a_command_without_a_model_takes_minilm():
    node = resolve(compose(["negatives=embedding"], "prepare"))["dataset"]["steps"]["negatives"]
    assert node["retriever"]["encoder"]["model"] == "minilm"


@pytest.fixture
def other_words(workplace):
    """What is typed for a folder whose dev and test have no word of train."""
    lines = "".join(f"word{n % 7} a,b word{n % 5},{n % 5 / 4}\n" for n in range(40))
    (workplace / "train.csv").write_text(f"sentence1,sentence2,score\n{lines}")
    for split in ("dev", "test"):
        rows = "".join(f"ш{n} щ,э ю{n},{n % 5 / 4}\n" for n in range(10))
        (workplace / f"{split}.csv").write_text(f"sentence1,sentence2,score\n{rows}")
    return ("dataset=./", "loss=cosent", "model=bow", "tracking=none", "paths.cache=null")


def test_what_is_known_only_once_a_model_is_loaded_is_refused_before_it_trains(workplace, other_words):
    from test_run import plan_of

    from embexp.experiment.execute import execute

    shares = r"0\.0 % of train, 100\.0 % of dev/sts, 100\.0 % of test/sts; of 20 of 20 texts it knows nothing"
    with pytest.raises(ModelError, match=shares):
        execute(plan_of(workplace / "run", *other_words))


@pytest.mark.slow
def test_a_run_that_resumes_says_what_the_model_does_not_know(workplace, other_words):
    from test_run import plan_of

    from embexp.experiment.execute import execute

    result = execute(plan_of(workplace / "other", *other_words, "max_unknown_tokens=1")).content
    assert result["unknown_tokens"] == {"train": 0.0, "dev/sts": 1.0, "test/sts": 1.0}
    assert result["metrics"]["data/unknown_tokens/test/sts"] == 1.0
    assert any("does not know many tokens" in warning for warning in result["warnings"])
    assert any("is undefined: all 10 examples have one cosine" in warning for warning in result["warnings"])


def test_an_encoder_that_does_not_know_its_texts_says_so(caplog):
    encoder = FrozenEncoder("static")
    encoder.encode(["股票", "stock"])
    assert "static does not know 66.7 % of the tokens that it encodes." in caplog.text
    caplog.clear()
    encoder.encode(["股票"])
    FrozenEncoder("static").encode(["stock"])
    assert "does not know" not in caplog.text


def test_a_leaderboard_gives_the_share_of_each_base_model():
    runs = [recorded(1, 0.1), recorded(2, 0.1, loss="x"), recorded(3, 0.1, model="tiny"), recorded(4, 0.1, model="old")]
    for run, share in zip(runs, (0.685, 0.685, 0.0), strict=False):
        run.metrics["data/unknown_tokens/test/sts"] = share
    note = "Tokens of test/sts that a base model does not know: minilm 68.5 %, tiny 0.0 %."
    assert note in make_leaderboard(runs).notes
    assert not any("does not know" in each for each in make_leaderboard(runs[3:]).notes)


@pytest.mark.parametrize("model", ["minilm", "static"])
def test_inspect_gives_the_shares_and_suggests_a_model_that_reads_the_texts(model):
    typed = ["dataset=finance_zh", f"model={model}", "format=json", "examples=0"]
    choices = {"dataset": "finance_zh", "model": model}
    found = json.loads(inspect(compose(typed, "inspect"), choices, typed))
    assert {*found["unknown_tokens"]} == {"train", "dev", "test"}
    assert all(0.6 < share < 0.75 for share in found["unknown_tokens"].values())
    assert found["models"][0] == "static_scratch"
    assert found["commands"]["train"] == "python -m embexp dataset=finance_zh model=static_scratch loss=auto"
    english = ["dataset=finance", "examples=0"]
    assert "unknown to minilm: train 0.0 %" in inspect(
        compose(english, "inspect"), {**choices, "model": "minilm"}, english
    )


def test_a_model_named_in_a_yaml_of_ones_own_is_counted_too():
    node = resolve(compose(["model=minilm_dense"]))["model"]
    model = instantiate(node)
    assert unknown_by_files(model, model.locate())([CHINESE]).share > 0.5


@pytest.mark.parametrize(
    ("texts", "given", "strange"),
    [
        (["рынок вырос сегодня", "акции банка"], "minilm", "cyrillic"),
        (["سوق المال اليوم"], "static", "arabic"),
        (["η αγορά ανέβηκε", "the market rose"], "bge_small_en", "greek"),
        (["рынок вырос сегодня"], "bge_small_zh", "cyrillic"),
    ],
)
def test_a_script_that_a_model_reads_letter_by_letter_is_a_warning(texts, given, strange):
    found = {"train": UnknownTokens(0, 90, 0, len(texts))}
    (warning,) = _unknown_findings(found, texts, 0.3, "model", given).warnings
    assert f"not for {strange}, which it may read letter by letter" in str(warning)
    assert "type model=" in str(warning)


@pytest.mark.parametrize(
    ("texts", "given"),
    [
        (["the market rose"], "minilm"),
        (["рынок вырос"], "static_scratch"),
        (["рынок вырос"], "org/model"),
        (["12"], "mpnet"),
    ],
)
def test_a_script_that_a_model_is_made_for_or_that_nobody_knows_of_is_none(texts, given):
    found = {"train": UnknownTokens(0, 90, 0, len(texts))}
    assert not _unknown_findings(found, texts, 0.3, "model", given).warnings


def test_signs_that_are_no_letters_propose_models_that_read_any():
    found = {"train": UnknownTokens(40, 100, 0, 9)}
    (error,) = _unknown_findings(found, ["up 🚀🚀", "down 😀"], 0.3, "model", "minilm").errors
    assert error.fix[0] in ("model=static_scratch", "model=small_bert", "model=tiny")

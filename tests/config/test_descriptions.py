"""What the YAML files say of themselves, read as text: shipped ones, and ones as users write them."""

import pytest

from embexp.config.descriptions import all_groups, groups_of, read_command, read_option, summary_of
from embexp.config.session import conf_dir, option_files, remember_config_dir
from embexp.errors import ConfigError


@pytest.fixture
def own(tmp_path):
    """A folder of one's own, given as --config-dir."""
    remember_config_dir(str(tmp_path))
    yield tmp_path
    remember_config_dir(None)


def write(folder, name, text, encoding="utf-8"):
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
    return path


def shown(option):
    return {option.typed(key): (key.value, " ".join(key.comment)) for key in option.keys}


def test_every_shipped_option_and_command_has_a_sentence_and_no_describing_key():
    options = [read_option(group, name) for group in all_groups() for name in option_files(group)]
    commands = [read_command(path.stem) for path in sorted(conf_dir().glob("*.yaml"))]
    assert len(options) > 150
    assert len(commands) > 10
    assert [each.path.name for each in (*options, *commands) if not each.summary] == []
    keys = [option.typed(key) for option in options for key in option.keys]
    assert len(keys) > 1000
    assert [key for key in keys if "._" in key or key.startswith("_")] == []


def test_the_groups_of_a_command_come_with_what_is_chosen():
    groups = {group.name: group for group in groups_of("config")}
    assert groups["loss"].chosen == ("mnrl",)
    assert groups["evaluator"].chosen == ("auto",)
    assert groups["model/adapter"].chosen == ()
    assert "mnrl" in groups["loss"].options
    assert {"loss", "tune/sampler", "tune/pruner"} <= {group.name for group in groups_of("tune")}
    assert "loss" not in {group.name for group in groups_of("inspect")}


def test_keys_come_with_values_comments_and_bounds():
    option = read_option("loss", "mnrl")
    keys = {key.path: key for key in option.keys}
    assert keys["scale"].value == "20.0"
    assert keys["scale"].comment == ("inverse temperature: 20 is a temperature of 0.05",)
    assert keys["scale"].legal == "a number above 0"
    assert keys["directions"].comment[0].startswith("What is a negative for an anchor")
    assert (option.path.read_text().splitlines()[keys["scale"].line - 1]).startswith("scale: 20.0")


@pytest.mark.parametrize(
    ("group", "name", "key", "value"),
    [
        ("negatives", "bm25", "dataset.steps.negatives.guards.within", "50"),  # of mining/default
        ("negatives", "cross_encoder", "dataset.steps.negatives.guards.margin", "0.0"),  # what it says itself wins
        ("negatives", "cross_encoder", "dataset.steps.negatives.retriever.retriever.k1", "1.5"),  # two parts deep
        ("trainer", "smoke", "trainer.max_steps", "4"),  # from last/smoke at its own place
        ("evaluator", "stsb", "evaluator.stsb.resamples", "2000"),
        ("model/adapter", "lora", "model.adapter.r", "64"),
        ("experiment", "simcse_unsup", "trainer.warmup_steps", "0"),
    ],
)
def test_an_option_has_the_keys_of_its_parts_where_they_are_typed(group, name, key, value):
    assert shown(read_option(group, name))[key][0] == value


def test_a_value_that_is_replaced_keeps_the_comment():
    assert shown(read_option("trainer", "smoke"))["trainer.max_steps"] == (
        "4",
        "a positive number overrides num_train_epochs",
    )


def test_options_of_other_groups_that_come_with_one_are_named():
    assert ("dataset", "dataset", "stsb") in read_option("evaluator", "stsb").chooses
    assert ("loss", "", "margin_mse") in read_option("experiment", "gpl").chooses


def test_an_option_of_ones_own_in_chinese(own):
    text = "# 我们自己的损失。第二句。\n_target_: my.Loss\n_accepts_: [triplet]\nscale: 20.0  # 温度的倒数\n"
    text += "columns:\n  # 问题所在的列\n  anchor: 问题  # 必填\n         # 第二行\n  list:\n    - 一\n    - 二\n"
    text += "empty:   # 空\n"
    write(own, "loss/mine", text)
    option = read_option("loss", "mine")
    assert option.summary == "我们自己的损失。"
    assert shown(option) == {
        "loss.scale": ("20.0", "温度的倒数"),
        "loss.columns.anchor": ("问题", "问题所在的列 必填 第二行"),
        "loss.columns.list": ("[一, 二]", ""),
        "loss.empty": ("null", "空"),
    }


FILES = {
    "no comment": ("scale: 1\n", "", {"loss.scale": ("1", "")}),
    "empty": ("", "", {}),
    "a comment alone": ("# Only this\n", "Only this", {}),
    "lines of Windows": ("---\n# After the mark.\r\na: 1\r\n", "After the mark.", {"loss.a": ("1", "")}),
    "byte order mark": ("\ufeff# Marked\na: 'x # y'  # c\n", "Marked", {"loss.a": ("'x # y'", "c")}),
    "a list on two lines": ("# @package loss\n# P\na: [1,  # one\n  2]  # two\n", "P", {"loss.a": ("[1, 2]", "two")}),
    "a text on two lines": ("# H\n\n# of a\na: |\n  t\n  # u\n", "H", {"loss.a": ("t # u", "of a")}),
    "a mapping in one line": ("# H\na: {c: 1}\n", "H", {"loss.a": ("{c: 1}", "")}),
}


@pytest.mark.parametrize(("text", "summary", "keys"), FILES.values(), ids=FILES)
def test_files_as_people_write_them(own, text, summary, keys):
    write(own, "loss/mine", text)
    option = read_option("loss", "mine")
    assert (option.summary, shown(option)) == (summary, keys)


def test_an_option_made_from_a_shipped_one_has_its_keys_with_their_comments(own):
    write(own, "loss/mine", "defaults:\n  - mnrl\nscale: 7\n")
    assert shown(read_option("loss", "mine"))["loss.scale"] == ("7", "inverse temperature: 20 is a temperature of 0.05")


BROKEN = [("# H\na: [1\nb: 2\n", "utf-8", ":3:"), ("# 中文\na: 1\n", "gb18030", ""), ("a: {b: 1}}\n", "utf-8", ":1:")]


@pytest.mark.parametrize(("text", "encoding", "line"), BROKEN)
def test_a_file_that_is_no_yaml_is_named_with_its_line(own, text, encoding, line):
    path = write(own, "loss/broken", text, encoding)
    with pytest.raises(ConfigError, match="is no YAML") as refusal:
        read_option("loss", "broken")
    assert f"{path}{line}" in str(refusal.value)


def test_an_option_that_is_not_there_has_a_nearest_name():
    with pytest.raises(ConfigError, match="Did you mean 'mnrl'"):
        read_option("loss", "mnlr")


@pytest.mark.parametrize(
    ("lines", "summary"),
    [
        (["First line of a", "sentence. Another."], "First line of a sentence."),
        (["For e.g. this (Kim et al. 2014). From the Hub."], "For e.g. this (Kim et al. 2014)."),
        (["第一句！第二句"], "第一句！"),
        ([], ""),
    ],
)
def test_the_first_sentence(lines, summary):
    assert summary_of(lines) == summary

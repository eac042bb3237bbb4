"""The values that arguments may have: every YAML names them, its own are among them, and others stop the plan."""

import pytest
from conftest import TINY

from embexp.config.checks import read_keys
from embexp.config.compose import compose, option_of
from embexp.config.session import conf_dir
from embexp.config.yaml_keys import ModifierKeys
from embexp.core.arguments import LegalValues
from embexp.errors import EmbexpError, as_typed
from embexp.experiment.plan import plan_run
from embexp.losses.modifiers import modifier_of
from embexp.losses.spec import spec_of

YAMLS = sorted(
    (group, path.stem)
    for group in ("loss", "modifier")
    for path in conf_dir().glob(f"{group}/*.yaml")
    if path.stem not in ("auto", "none")
)


def values_of(name, node):
    return read_keys(ModifierKeys, {"_values_": node.get("_values_", {})}, name).values


def misfits_of(loss: str, modifier: str = "none", **changes) -> list[str]:
    """What is wrong with a shipped loss some of whose values were changed."""
    wrapper = modifier_of(modifier, option_of("modifier", modifier))
    return [str(problem) for problem in spec_of(loss, option_of("loss", loss) | changes, wrapper).value_problems()]


@pytest.mark.slow
def test_every_yaml_tells_the_values_of_its_numbers_and_words():
    assert len(YAMLS) >= 31
    for group, name in YAMLS:
        node = option_of(group, name)
        arguments = {key for key in node if not key.startswith("_")}
        told = set(values_of(name, node))
        assert told <= arguments, name
        assert all(isinstance(node[key], bool) or key == "generator" for key in arguments - told), name


@pytest.mark.parametrize(("group", "name"), YAMLS)
def test_the_defaults_are_among_them(group, name):
    node = option_of(group, name)
    assert all(legal.allow(node[argument]) for argument, legal in values_of(name, node).items())


@pytest.mark.parametrize(
    ("loss", "argument", "value", "expected"),
    [
        ("gist", "guide", None, "a value other than null"),
        ("gist", "temperature", 0, "a number of at least 1e-06"),
        ("cached_gist", "temperature", -0.1, "a number of at least 1e-06"),
        ("info_nce", "temperature", 0.0, "a number of at least 1e-06"),
        ("info_nce", "margin", 2.0, "a number below 2, or null"),
        ("mnrl", "scale", 0, "a number above 0"),
        ("triplet", "margin", True, "a number above 0, or null"),
        ("diffcse", "masking_ratio", 1.0, "a number above 0 and below 1"),
        ("cached_mnrl", "mini_batch_size", 1.5, "a whole number of at least 1"),
        ("mega_batch", "positive_margin", 1.1, "a number of at least -1 and of at most 1"),
        ("embed_distill", "distance_metric", "euclid", "one of: cosine, l2, mse"),
    ],
)
def test_another_value_is_reported_with_what_is_expected(loss, argument, value, expected):
    shown, default = as_typed(value), as_typed(option_of("loss", loss)[argument])
    assert misfits_of(loss, **{argument: value}) == [
        f"loss.{argument}={shown} was given. Expected {expected}.\nhint: type loss.{argument}={default}"
    ]


def test_an_unknown_word_is_reported_with_the_nearest_in_a_list_too():
    (strategy,) = misfits_of("gist", margin_strategy="absolut")
    assert "Expected one of: absolute, relative. Did you mean 'absolute'?" in strategy
    (directions,) = misfits_of("mnrl", directions=["query_to_doc", "doc_to_querry"])
    assert directions.startswith(
        "loss.directions=[query_to_doc,doc_to_querry] was given. "
        "Expected a list, query_to_doc in it, each of it one of: "
    )
    assert "Did you mean 'doc_to_query'" in directions
    assert len(misfits_of("mnrl", directions=["doc_to_query"])) == 1


@pytest.mark.parametrize(("value", "fits"), [([8, 4], True), (None, True), ([], False), ([0], False), (8, False)])
def test_a_list_has_a_member_and_each_fits(value, fits):
    assert LegalValues(least=1, whole=True, many=True, optional=True).allow(value) == fits


def test_the_plan_tells_all_of_them_at_once(tmp_path):
    choices = {"dataset": "finance", "model": "tiny", "loss": "gist", "trainer": "smoke", "modifier": "orthogonal"}
    wrong = ["loss.guide=null", "loss.temperature=0", "modifier=orthogonal", "modifier.mean_weight=-1"]
    wrong += ["modifier.aggregation=median"]
    with pytest.raises(EmbexpError) as error:
        plan_run(compose([*TINY, "tracking=none", "loss=gist", *wrong]), choices, tmp_path)
    heading, *problems = str(error.value).split("\n\n")
    assert heading == "4 things do not fit:"
    given = ("loss.guide=null", "loss.temperature=0", "modifier.mean_weight=-1", "modifier.aggregation=median")
    assert [problem.split()[1] for problem in problems] == list(given)

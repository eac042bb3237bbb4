"""Choices of options: what Hydra cannot read as a name, or what is no choice, gets a message with a way on."""

import pytest

from embexp.cli.overrides import _as_hydra_chooses, expand_paths
from embexp.errors import ConfigError


@pytest.mark.parametrize(
    "typed",
    [
        "trainer=null",
        "trainer=5",
        "loss=null",
        "loss=true",
        "loss=[]",
        "loss=[mnrl,cosent]",
        "dataset=[a,b]",
        "dataset=nan",
        "tracking=[none,mlflow]",
        "evaluator=null",
        "evaluator=[null]",
        "evaluator=[sts,sts]",
        "adapt=[tsdae,tsdae]",
        "adapt=[5]",
        "step=[clean,deduplicate,clean]",
        "export=null",
        "paths=null",
        "model/adapter=5",
        "dataset@adapt.tsdae.dataset=5",
        "+loss=mnrl",
        "++loss=mnrl",
        "~loss",
        "~model",
        "~seed",
        "~tracking",
    ],
)
def test_what_is_no_choice_is_refused_with_what_to_type(typed):
    with pytest.raises(ConfigError) as refusal:
        expand_paths([typed])
    for fix in refusal.value.problems[0].fix:
        assert "<" not in fix
        expand_paths([fix.removeprefix("-m ")])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("loss=[mnrl]", "loss=mnrl"),
        ("modifier=null", "modifier=none"),
        ("model/adapter=null", "model/adapter=none"),
        ("model/adapter=lora,null", "model/adapter=lora,none"),
        ("silver=null", "silver=none"),
        ("tracking=null", "tracking=none"),
        ("adapt=null", "adapt=none"),
        ("experiment=null", "~experiment"),
        ("adapt=[mlm,tsdae]", "adapt=[mlm,tsdae]"),
        ("evaluator=[]", "evaluator=[]"),
        ("loss=mnrl,cosent", "loss=mnrl,cosent"),
        ("+dataset@evaluator.sts.dataset=stsb", "+dataset@evaluator.sts.dataset=stsb"),
        ("~dataset.steps.split", "~dataset.steps.split"),
        ("~modifier", "~modifier"),
        ("+evaluator=[triplet]", "+evaluator=[triplet]"),
        ("loss.scale=null", "loss.scale=null"),
    ],
)
def test_a_choice_is_what_it_means(typed, meant):
    assert _as_hydra_chooses(typed) == meant

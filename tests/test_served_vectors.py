"""`embexp compare <run> model=<url>`: a server in another process, as it should be and with planted faults."""

import re
import shutil

import pytest
from omegaconf import OmegaConf
from served_process import serving

from embexp.cli.overrides import expand_paths
from embexp.config.compose import compose
from embexp.config.session import remember_config_dir
from embexp.core.run_folder import CONFIG, read_config
from embexp.errors import ConfigError
from embexp.experiment.compare import compare, compare_command, with_runs


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    """A tiny run whose model has a default prompt, normalises, and computes enough for fewer bits to show."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize

    folder = tmp_path_factory.mktemp("served") / "run"
    shutil.copytree(finished(), folder)
    model = SentenceTransformer(str(folder / "stages" / "main" / "model"))
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data *= 8
    model.prompts, model.default_prompt_name = {"query": "query: ", "passage": "passage: "}, "query"
    made = SentenceTransformer(modules=[*model, Normalize()], prompts=model.prompts, default_prompt_name="query")
    made.save_pretrained(str(folder / "stages" / "main" / "model"))
    return folder


@pytest.fixture(scope="module")
def url(run):
    with serving(run / "stages" / "main" / "model") as address:
        yield address


def compared(run, url, *typed, how="right", path="/v1/embeddings"):
    named = [f"model={url}{path}", f"model.name={how!r}", *typed]
    return compare(compose(expand_paths([*with_runs([str(run)]), *named]), "compare"))


def causes(found):
    return [fault["cause"] for fault in found["faults"]]


SAME = [{}, {"how": "float16"}, {"how": "bfloat16"}, {"path": "/embed", "how": "right"}]
FAULTS = {
    "noprompt": ("prompt", "leaves out the model's prompt 'query: '"),
    "prompt:passage: ": ("prompt", "puts 'passage: ' before each text; the trained model has 'query: ' there"),
    "pooling:cls": ("pooling", "pools by cls; the model was trained with mean"),
    "pooling:max": ("pooling", "pools by max"),
    "raw": ("normalisation", "vectors have lengths of .*, those of the trained model of 1"),
    "truncated:32": ("truncation", "reads 32 tokens of a text; the trained model reads 64 tokens"),
    "truncated:45": ("truncation", "reads 45 tokens of a text"),
    "cut eos": ("truncation", r"cuts the token at the end \(EOS\) off a long text, too"),
    "left": ("truncation", "cuts the beginning of a long text"),
    "eos": ("EOS", "without the token at the end of a text"),
    "bos": ("special tokens", "without the token at the beginning"),
    "int8": ("quantisation", "all its vectors are a little off .* as by weights of fewer bits"),
    "int4": ("quantisation", "all its vectors are a little off .* as by weights of fewer bits"),
    "int8 numbers": ("quantisation", "whole numbers, 8 bits each"),
    "dimensions:16": ("dimensions", "cuts the vectors to 16 of 32 numbers"),
    "padding": ("padding", "depends on the other texts of its request"),
}
TYPICAL = ("pooling:cls",)
ALSO = ("noprompt", "raw", "truncated:32", "eos", "int8")  # in the slow lane; the others in the lane `matrix`
LANES = {each: pytest.mark.slow if each in ALSO else pytest.mark.matrix for each in FAULTS}


@pytest.mark.parametrize("changes", [SAME[0], *(pytest.param(each, marks=pytest.mark.matrix) for each in SAME[1:])])
def test_the_right_server_is_no_false_alarm(changes, run, url, capsys):
    found = compared(run, url, "model.encoding=base64", **changes)
    assert (found["verdict"], found["faults"]) == ("same vectors", [])
    assert found["lowest_cosine"] > 0.999
    assert "**same vectors**" in capsys.readouterr().out


@pytest.mark.parametrize(
    "how", [*TYPICAL, *(pytest.param(each, marks=LANES[each]) for each in FAULTS if each not in TYPICAL)]
)
def test_a_planted_fault_is_named(how, run, url, capsys):
    cause, words = FAULTS[how]
    found = compared(run, url, how=how)
    assert causes(found) == [cause]
    assert found["verdict"] == ("same ranking" if how == "raw" else "other vectors")
    printed = capsys.readouterr().out
    assert cause in printed.split("**")[1]
    assert re.search(words, printed)


@pytest.mark.matrix
@pytest.mark.parametrize(("how", "expected"), [
    ("pooled:cls", ["pooling", "normalisation"]),
    ("lower", []),  # its tokenizer does that itself
])  # fmt: skip
def test_faults_together(how, expected, run, url):
    assert causes(compared(run, url, how=how)) == expected


@pytest.mark.slow
def test_the_untouched_base_model_is_recognised(run, url, finished, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    base = finished() / "stages" / "main" / "model"
    config = read_config(run)
    config.model = {"_target_": "embexp.models.pretrained.PretrainedModel", "path": str(base)}
    (tmp_path / "run" / CONFIG).write_text(OmegaConf.to_yaml(config))
    (fault,) = compared(tmp_path / "run", url, how=f"base:{base}")["faults"]
    assert (fault["cause"], fault["found"][:35]) == ("another model", "it serves the untouched base model,")


def test_the_exit_code_says_whether_the_vectors_are_those_of_the_run(run, url, workplace, monkeypatch, capsys):
    for how, code in (("right", None), ("pooling:cls", 1)):
        typed = [str(run), f"model={url}/v1", f"model.name={how!r}", "output=page.md"]
        monkeypatch.setattr("sys.argv", ["embexp.compare", *typed])
        try:
            compare_command()
            ended = None
        except SystemExit as end:
            ended = end.code
        assert ended == code
        assert (workplace / "page.md").read_text().strip() == capsys.readouterr().out.strip()
    remember_config_dir(None)


@pytest.mark.parametrize(("typed", "message"), [
    (["{run}", "{run}", "model=http://127.0.0.1:9/v1"], "2 runs were named. Expected one, by its folder"),
    (["{run},{run}", "model=http://127.0.0.1:9/v1"], "1 runs were named. Expected one, by its folder"),
    (["{run}", "model=tiny"], "model is not behind a URL. Expected a URL, or two runs and no model"),
    (["{run}"], "1 runs were named. Expected two"),
])  # fmt: skip
def test_what_cannot_be_compared(typed, message, run):
    words = [each.format(run=run) for each in typed]
    with pytest.raises(ConfigError, match=message):
        compare(compose(expand_paths(with_runs(words)), "compare"))


def test_a_run_without_a_model_is_refused_before_the_server_is_called(run, tmp_path):
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("model"))
    with pytest.raises(ConfigError, match="holds no trained model"):
        compared(tmp_path / "run", "http://127.0.0.1:9")

"""One's own files from the first command on: each trains, or is refused once with a command that works as pasted."""

import json
import runpy
import shlex
from pathlib import Path

import pytest
from typed_commands import done_in

from embexp.cli.overrides import expand_paths
from embexp.config.compose import composed
from embexp.config.session import hydra_started, remember_config_dir
from embexp.errors import ConfigError
from embexp.inspection.prepare_dataset import init

TOPICS = ["退货", "订单", "运费", "发票", "积分", "密码", "物流", "地址"]
ASKED = [f"{start}{topic}{number}怎么办" for topic in TOPICS for number in range(5) for start in ("请问", "你好，")]
ANSWERS = [f"关于{topic}{number}请在页面上点击申请" for topic in TOPICS for number in range(5) for _ in range(2)]
SMOKE = ["model=tiny", "trainer=smoke", "tracking=none", "threads=1", "max_unknown_tokens=1", "loss=auto"]


def csv(header, *columns):
    return "\n".join([header, *(",".join(map(str, row)) for row in zip(*columns, strict=True))]) + "\n"


@pytest.fixture
def own(tmp_path, monkeypatch):
    folder = tmp_path / "客服 数据"
    folder.mkdir()
    count = len(ASKED)
    files = {
        "faq.csv": csv("问题,答案", ASKED, ANSWERS),
        "graded.csv": csv("q,a,grade", ASKED, ANSWERS[3:] + ANSWERS[:3], (n % 6 for n in range(count))),
        "tickets.csv": csv(
            "text,category", [*ASKED, *(f"{each}呢" for each in ASKED)], [*map(str, (n % 2 for n in range(2 * count)))]
        ),
        "pairs.csv": csv("句子1,句子2,相似度", ASKED, ANSWERS, (n / count for n in range(count))),
        "texts.txt": "\n".join(ASKED),
        "mined.jsonl": "\n".join(
            json.dumps({"query": q, "positive": a, "negatives": [ANSWERS[n - 4], ANSWERS[n - 8]]}, ensure_ascii=False)
            for n, (q, a) in enumerate(zip(ASKED, ANSWERS, strict=True))
        ),
    }
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8-sig" if name == "faq.csv" else "utf-8")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "metric", "num_refusals"),
    [
        (["dataset=faq.csv", "test=graded.csv"], "test/sts/spearman_cosine", 0),
        pytest.param(["dataset=faq.csv"], "test/retrieval/ndcg_at_10", 0, marks=pytest.mark.matrix),
        pytest.param(["dataset=tickets.csv"], "test/classification/accuracy", 0, marks=pytest.mark.matrix),
        pytest.param(["dataset=mined.jsonl"], "test/retrieval/ndcg_at_10", 0, marks=pytest.mark.matrix),
        pytest.param(["dataset=pairs.csv"], "test/sts/spearman_cosine", 0, marks=pytest.mark.matrix),
        (["dataset=texts.txt"], "test/sts/spearman_cosine", 1),
        pytest.param(["dataset=texts.txt", "test=graded.csv"], "test/sts/spearman_cosine", 0, marks=pytest.mark.matrix),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_each_first_command_works_or_is_refused_once_with_one_that_does(own, overrides, metric, num_refusals):
    command, refusals = [*overrides, *SMOKE, "hydra.run.dir=run"], 0
    while (done := done_in(own, *command)).returncode and refusals < 3:
        refusals += 1
        hint = next(line.partition("hint: type ")[2] for line in done.stderr.splitlines() if "hint: type " in line)
        command += shlex.split(hint)
    assert (done.returncode, refusals) == (0, num_refusals), done.stderr
    result = json.loads((own / "run" / "result.json").read_text(encoding="utf-8"))
    assert result["primary"]["key"] == metric


@pytest.mark.slow
def test_what_init_writes_trains_and_is_swept(own):
    said = done_in(own, "init", "faq.csv", "test=graded.csv").stdout
    lines = [line.partition("python -m embexp ")[2] for line in said.splitlines() if "python -m embexp" in line]
    assert len(lines) == 2, said
    for number, line in enumerate(lines):
        done = done_in(own, *shlex.split(line), *SMOKE[1:-1], f"hydra.run.dir=run{number}")
        assert done.returncode == 0, done.stderr
        assert "spearman_cosine*" in done.stdout
    done = done_in(own, "--config-dir", "own", "-m", "experiment=faq", "seed=1,2", *SMOKE[:-1], "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr


def written(*overrides):
    with hydra_started():
        return init(*composed(expand_paths([*overrides]), "init"))


def test_init_writes_what_was_found_and_no_file_twice(own):
    remember_config_dir(None)
    written("dataset=pairs.csv", "test=tickets.csv", "dev=finance", "name=mine")
    yaml = (own / "own" / "dataset" / "mine.yaml").read_text(encoding="utf-8")
    assert "shapes: [scored_pair]" in yaml
    assert "sentence1: 句子1" in yaml
    experiment = (own / "own" / "experiment" / "mine.yaml").read_text(encoding="utf-8")
    assert "- /dataset@test: mine_test\n  - /dataset@dev: finance\n  - override /dataset: mine" in experiment
    with pytest.raises(ConfigError, match=r"mine\.yaml already") as refusal:
        written("dataset=pairs.csv", "name=mine")
    assert refusal.value.problems[0].fix[0] == "overwrite=true"
    with pytest.raises(ConfigError, match="dataset=finance has a YAML already"):
        written()


@pytest.mark.parametrize(
    ("file", "name"), [("常见.csv", "own"), ("stsb.csv", "stsb_own"), ("My FAQ-2.csv", "my_faq_2")]
)
def test_options_are_named_in_letters_that_need_no_quotes_and_hide_none(own, file, name):
    (own / "faq.csv").rename(own / file)
    written(f"dataset={file}")
    assert [path.stem for path in (own / "own" / "dataset").iterdir()] == [name]


def test_the_examples_are_what_their_script_makes_and_are_taken_as_they_are(workplace):
    """README and the quickstart begin with them."""
    folder = Path(__file__).parents[1] / "examples"
    made = runpy.run_path(str(folder / "make.py"))["files"]()
    assert len(made) == 7
    for name, text in made.items():
        assert (folder / name).read_text(encoding="utf-8") == text, f"python examples/make.py makes another {name}"
    for name, shape in (("graded.csv", "scored_pair"), ("mined.jsonl", "ranked"), ("faq_zh.csv", "positive_pair")):
        written(f"dataset={folder / name}")
        yaml = workplace / "own" / "dataset" / f"{Path(name).stem}.yaml"
        assert f"shapes: [{shape}]" in yaml.read_text(encoding="utf-8")

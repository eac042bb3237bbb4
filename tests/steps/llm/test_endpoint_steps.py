"""Steps that ask a chat server: paraphrases, rewritten texts, queries, positives, hard negatives; and in prepare."""

import json
from dataclasses import replace

import pytest
from chat_server import ChatServer, completion, echo, texts

from embexp.config.compose import compose, instantiate, resolve
from embexp.data.row_checks import dataset_of
from embexp.data.storage import read_prepared
from embexp.errors import ConfigError, DataError, EmbexpError
from embexp.experiment.plan import plan_run
from embexp.inspection.prepare_dataset import prepare
from embexp.steps.augment.provenance import leave_out
from embexp.steps.split import split

STEPS = ["augment_paraphrase", "augment_rewrite", "generate_queries", "generate_positives", "generate_negatives"]


@pytest.fixture
def server():
    with ChatServer(echo).running() as running:
        yield running


def applied(step, dataset, server, cache=None, **arguments):
    """The step as its YAML calls it, with another server and arguments."""
    overrides = [f"step=[{step}]", f"dataset.steps.{step}.endpoint.url={server.url}"]
    overrides += [f"dataset.steps.{step}.endpoint.model=toy", f"dataset.steps.{step}.endpoint.first_wait=0.01"]
    overrides += [f"dataset.steps.{step}.instruction=Shout"] if step == "augment_rewrite" else []
    call = resolve(compose(overrides))["dataset"]["steps"][step]
    return instantiate({**call, **arguments}, dataset=dataset, cache=cache)


def rows(dataset, name="train"):
    return dataset.splits[name].to_dict()


def pairs(**more):
    train = {"anchor": ["q1", "q2"], "positive": ["p1", "p2"]}
    return dataset_of("toys", "positive_pair", {"train": train, **more})


def test_paraphrases_stand_next_to_their_sources(server):
    made = applied("augment_paraphrase", pairs(dev={"anchor": ["q"], "positive": ["p"]}), server, columns=["anchor"])
    table = rows(made)
    assert table["anchor"] == ["q1", "q1 as put 1", "q2", "q2 as put 1"]
    assert table["positive"] == ["p1", "p1", "p2", "p2"]
    assert table["made_by"] == [None, "paraphrase", None, "paraphrase"]
    assert table["made_from"][0] == table["made_from"][1] != table["made_from"][2]
    assert rows(made, "dev")["anchor"] == ["q"]
    assert [str(report) for report in made.history] == [
        "ask for paraphrase: 3 -> 3 rows (2 answers of toy, 40 tokens read, 20 written)",
        "augment by paraphrase: 3 -> 5 rows (2 made of train)",
    ]
    assert made.history[1].examples == ("q1 -> q1 as put 1", "q2 -> q2 as put 1")
    assert rows(leave_out(made, ["paraphrase"]))["anchor"] == ["q1", "q2"]


def test_several_copies_of_all_columns_keep_labels(server):
    scored = {"sentence1": ["a"], "sentence2": ["b"], "score": [0.5]}
    made = applied("augment_paraphrase", dataset_of("toys", "scored_pair", {"train": scored}), server, copies=2)
    assert sorted(rows(made)["sentence1"]) == ["a", "a as put 1", "a as put 2"]
    assert sorted(rows(made)["sentence2"]) == ["b", "b as put 1", "b as put 2"]
    assert rows(made)["score"] == [0.5] * 3
    assert len(server.requests) == 2


def test_the_prompt_of_the_yaml_is_filled_and_braces_in_texts_stay(server):
    applied("augment_rewrite", dataset_of("toys", "text", {"train": {"text": ["a {number} b"]}}), server)
    system, user = server.requests[0].body["messages"]
    assert system["role"] == "system"
    assert user["content"].endswith("Instruction: Shout\nText: a {number} b")
    assert 'Answer with {"texts": [...]}, a list of 1 string(s).' in user["content"]


def test_what_is_made_never_gets_into_another_split(server):
    """Made before the split: copies of rows that go to dev or test are left out."""
    texts_ = {"text": [f"text {number}" for number in range(30)]}
    made = split(applied("augment_paraphrase", dataset_of("toys", "text", {"train": texts_}), server))
    sources = {name: {text.partition(" as put")[0] for text in made.texts(name)} for name in made.splits}
    assert len(made.splits["train"]) == 2 * len(sources["train"])
    assert not sources["train"] & (sources["dev"] | sources["test"])


def test_copies_are_not_requested_again(server):
    once = applied("augment_paraphrase", pairs(), server, columns=["anchor"])
    twice = applied("augment_rewrite", once, server, columns=["anchor"])
    assert sorted(request.first.rpartition("Text: ")[2] for request in server.requests) == ["q1", "q1", "q2", "q2"]
    assert rows(twice)["made_by"] == [None, "rewrite", "paraphrase"] * 2


def test_queries_make_pairs_of_passages_in_all_splits(server):
    passages = {"train": {"text": ["p1", "p2"]}, "dev": {"text": ["p3"]}}
    made = applied("generate_queries", dataset_of("toys", "text", passages), server, per_text=2)
    assert made.shape.name == "positive_pair"
    assert rows(made)["anchor"] == ["p1 as put 1", "p1 as put 2", "p2 as put 1", "p2 as put 2"]
    assert rows(made)["positive"] == ["p1", "p1", "p2", "p2"]
    assert rows(made)["made_by"] == ["queries"] * 4
    assert rows(made, "dev")["anchor"] == ["p3 as put 1", "p3 as put 2"]
    assert str(made.history[-1]) == (
        "generate queries: 3 -> 6 rows (6 texts made; 3 answers of toy, 60 tokens read, 30 written)"
    )
    assert made.history[-1].examples == ("p1 -> p1 as put 1", "p1 -> p1 as put 2", "p2 -> p2 as put 1")


@pytest.mark.parametrize(
    ("step", "anchors", "positives"),
    [
        ("generate_queries", ["q1", "p1 as put 1", "q2", "p2 as put 1"], ["p1", "p1", "p2", "p2"]),
        ("generate_positives", ["q1", "q1", "q2", "q2"], ["p1", "q1 as put 1", "p2", "q2 as put 1"]),
    ],
)
def test_more_pairs_are_made_of_pairs_in_train_alone(step, anchors, positives, server):
    made = applied(step, pairs(dev={"anchor": ["q"], "positive": ["p"]}), server)
    assert (rows(made)["anchor"], rows(made)["positive"]) == (anchors, positives)
    assert rows(made)["made_from"][0] == rows(made)["made_from"][1]
    assert rows(made, "dev") == {
        "anchor": ["q"],
        "positive": ["p"],
        "made_from": rows(made, "dev")["made_from"],
        "made_by": [None],
    }
    assert len(server.requests) == 2


def test_negatives_make_triplets_and_stand_next_to_others(server):
    once = applied("generate_negatives", pairs(), server, per_text=2)
    assert once.shape.name == "triplet"
    assert list(rows(once)) == ["anchor", "positive", "negative_1", "negative_2"]
    assert rows(once)["negative_2"] == ["q1 as put 2", "q2 as put 2"]
    assert "Query: q1\nAnswer: p1" in {request.first[-20:] for request in server.requests}
    server.behave = lambda _: texts("another")
    twice = applied("generate_negatives", once, server)
    assert rows(twice)["negative_3"] == ["another"] * 2


def test_a_negative_like_the_positive_is_left_out(server):
    server.behave = lambda request: texts("P1!") if "Query: q1" in request.first else echo(request)
    made = applied("generate_negatives", pairs(), server)
    assert rows(made)["anchor"] == ["q2"]
    assert made.history[-1].reason.endswith("left out: 1 like a text of its row")


def test_what_stands_in_dev_is_not_made_in_train(server):
    dev = {"anchor": ["q1 as put 1"], "positive": ["p"]}
    made = applied("generate_positives", pairs(dev=dev), server)
    assert rows(made)["positive"] == ["p1", "p2", "q2 as put 1"]
    assert "1 in dev or test" in made.history[-1].reason


def test_texts_without_an_answer_go_and_none_left_is_refused(server):
    server.behave = lambda request: completion("?") if "p1" in request.first else echo(request)
    passages = dataset_of("toys", "text", {"train": {"text": ["p1", "p2"]}})
    made = applied("generate_queries", passages, server)
    assert rows(made)["positive"] == ["p2"]
    server.behave = lambda _: completion("?")
    with pytest.raises(DataError, match=r"queries leaves no row of train in toys .* 2 answers fit no schema"):
        applied("generate_queries", passages, server)


def test_all_bad_arguments_are_named_before_anything_is_sent(server):
    labelled = dataset_of("toys", "labelled_text", {"train": {"text": ["a"], "label": [0]}})
    with pytest.raises(ConfigError) as refusal:
        applied("generate_queries", labelled, server, per_text=0, makes="both", prompt={"user": "{txt}"})
    for fault in (
        "makes=both was given. Expected one of: anchor, positive.\nhint: type makes=anchor",
        "toys is labelled_text. Expected text or positive_pair",
        "per_text=0 was given. Expected a whole number of at least 1.\nhint: type per_text=1",
        "prompt has the place {txt}. Expected some of: {text}, {number}. Did you mean 'text'?",
        "prompt.user has no place for the text. Expected {text} where the text belongs",
    ):
        assert fault in str(refusal.value)
    with pytest.raises(ConfigError, match=r"prompt=say was given\. Expected a mapping\."):
        applied("augment_paraphrase", pairs(), server, prompt="say")
    assert server.requests == []


@pytest.mark.parametrize("step", STEPS)
def test_the_order_of_answers_changes_nothing(step, server):
    letters = {"text": list("abcdefgh")}
    data = pairs() if step == "generate_negatives" else dataset_of("toys", "text", {"train": letters})
    one = applied(step, data, server)
    server.behave = lambda request: replace(echo(request), seconds=0.04 / request.number)  # the first comes last
    other = applied(step, data, server)
    assert rows(one) == rows(other)
    assert one.history == other.history


def test_prepare_writes_what_was_made_and_asks_once(server, workplace, monkeypatch):
    monkeypatch.setenv("TOY_KEY", "sk-very-secret-4711")
    (workplace / "passages.txt").write_text("".join(f"passage {number}\n" for number in range(10)))
    step = "dataset.steps.generate_queries"
    typed = ["dataset=file", "dataset.reader.path=passages.txt", "step=[split,generate_queries]"]
    typed += [f"{step}.endpoint.url={server.url}", f"{step}.endpoint.model=toy", f"{step}.endpoint.api_key_env=TOY_KEY"]
    folder = prepare(compose([*typed, "output=made"], "prepare"), {"dataset": "file"})
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["shape"], len(server.requests)) == ("positive_pair", 10)
    assert manifest["steps"][-1]["reason"].startswith("10 texts made; 10 answers of toy, 200 tokens read, 100 written")
    # Another limit is another step for the cache of steps; the answers are there already.
    prepare(compose([*typed, f"{step}.endpoint.max_total_tokens=9000", "output=again"], "prepare"), {"dataset": "file"})
    assert len(server.requests) == 10
    written = [path for path in workplace.rglob("*") if path.is_file()]
    assert len(written) > 8
    assert not [path for path in written if b"sk-very-secret-4711" in path.read_bytes()]
    assert set(rows(read_prepared(folder, "made"))["made_by"]) == {"queries"}


@pytest.mark.parametrize(
    "mistake",
    [
        "step=[split,generate_queries,augment_typos] +dataset.steps.augment_typos.copis=1",
        "negatives=embedding dataset.steps.negatives.retriever.encoder.model=minillm",
        "+trainer.learning_rat=1",
        "+evaluator.retrieval.resample=1",
        "primary_metric=retrievall/x",
        "+tracking.urii=x",
    ],
)
def test_nothing_is_sent_before_all_mistakes_are_reported(mistake, server, workplace):
    (workplace / "passages.txt").write_text("".join(f"passage {number}\n" for number in range(10)))
    step = "dataset.steps.generate_queries"
    typed = ["dataset=file", "dataset.reader.path=passages.txt", "step=[split,generate_queries]", "model=tiny"]
    typed += [f"{step}.endpoint.url={server.url}", f"{step}.endpoint.model=toy", "evaluator=[retrieval]", "loss=mnrl"]
    names = {"dataset": "file", "model": "tiny", "loss": "auto"}
    told = r"(copis|learning_rat|resample|urii)=1?x? is no argument|encoder\.model=minillm|primary_metric=retrievall/x"
    with pytest.raises(EmbexpError, match=told):
        plan_run(compose([*typed, *mistake.split()]), names, workplace / "run")
    assert server.requests == []
    plan = plan_run(compose([*typed, "loss=auto", "paths.cache=null"]), names, workplace / "run")
    assert (plan.choices["loss"], plan.evaluators[0].dataset.shape.name) == ("mnrl", "positive_pair")
    assert len(server.requests) == 10

"""Advice on data: every hint that a message gives is typed on the rows that raised it, and leads further."""

import json
import re
import shlex
from pathlib import Path

import pytest
from test_messages import hints_in, with_hint

import embexp
from embexp.cli.app import MISTAKES
from embexp.cli.messages import explain
from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import quote_texts
from embexp.config.compose import composed
from embexp.config.session import hydra_started
from embexp.core.run_context import RunContext
from embexp.experiment.plan import plan_run
from tests.steps.llm.chat_server import ChatServer, echo


def csv(header, *lines):
    return "\n".join([header, *lines])


def numbered(line, many=60):
    return [line.format(n=n, m=n % 2, k=n % 5) for n in range(many)]


def jsonl(*rows):
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


MAP = "dataset.reader.columns={anchor: question, positive: answer}"
GOLD = "evaluator.sts.dataset=gold.csv"
GOLD_COLUMNS = "evaluator.sts.dataset.reader.columns={sentence1: q, sentence2: a, score: grade}"
NOT_DIVIDED = "dataset.steps.split.ratios=[1,0,0]"
FILES = {
    "faq.csv": csv("question,answer", *numbered("how {n}?,so {n}")),
    "asked.csv": csv("asked,said", *numbered("how {n}?,so {n}")),
    "points.csv": csv("q,a,points", *numbered("text {n},other {n},{k}")),
    "same.csv": csv("anchor,positive", *numbered("the same text,answer {n}")),
    "copies.csv": csv("anchor,positive", *numbered("text {n},text {n}")),
    "spoilt.csv": csv("anchor,positive,negative,note", *numbered("q {n},p {n},p {n},n {n}")),
    "one_label.csv": csv("sentence1,sentence2,label,grade", *numbered("a {n},b {n},1,{m}")),
    "ids.csv": csv("anchor,positive,text", *numbered("{n}00,{n}11,real text {n}")),
    "gold.csv": csv("q,a,grade", *numbered("text {n},other {n},{k}")),
    "tied.csv": csv("q,a,grade", *numbered("the same,other {n},0.{k}")),
    "tickets.csv": csv("text,label", *numbered("ticket {n},class {n}")),
    "scored.csv": csv("sentence1,sentence2,score", *numbered("a {n},b {n},0.{k}")),
    "five.csv": csv("sentence1,sentence2,score", *numbered("a {n},b {n},{k}")),
    "pairs.jsonl": jsonl(*({"query": f"how to do {n} by {n % 7}", "pos": [f"do {n} by {n % 7}"]} for n in range(60))),
    "few.jsonl": jsonl(*({"query": f"q{n}", "pos": [f"p{n}"], "neg": ["x"] * (n < 5)} for n in range(60))),
    "nli.csv": csv(
        "sentence1,sentence2,label",
        *numbered("a {n},b {n},entailment"),
        *numbered("c {n},d {n},neutral"),
        "a 0,c,contradiction",
    ),
    "labels.csv": csv("sentence1,sentence2,label", *numbered("a {n},b {n},good"), *numbered("a {n},c {n},bad")),
    "texts.txt": "\n".join(numbered("some text {n}")),
    "positive_label.csv": csv("anchor,positive,label", *numbered("a {n},b {n},{m}")),
    "negatives.jsonl": jsonl(*({"anchor": f"q{n}", "positive": f"p{n}", "negatives": ["x", "y"]} for n in range(60))),
}
# The command, by what it is about; those that need nothing but inspection of the rows come first.
REFUSED = {
    "columns": ["dataset=asked.csv"],
    "positive_pair_with_label": ["dataset=positive_label.csv"],
    "negative_list": ["dataset=negatives.jsonl", "evaluator=[sts]"],
    "mega_batch": ["dataset=faq.csv", MAP, "loss=mega_batch", "evaluator=[retrieval]"],
    "evaluator_route": ["dataset=faq.csv", MAP, "evaluator=[sts]"],
    "texts_route": ["dataset=texts.txt", "loss=simcse"],
    "own_columns": ["dataset=faq.csv", MAP, GOLD.replace("gold", "points")],
    "own_range": ["dataset=faq.csv", MAP, GOLD, GOLD_COLUMNS],
    "own_groups": [
        "dataset=faq.csv",
        MAP,
        GOLD.replace("gold", "tied"),
        GOLD_COLUMNS,
        "evaluator.sts.dataset.steps.split.ratios=[8,1,1]",
    ],
    "no_dev": ["dataset=scored.csv", "loss=cosent", "dataset.steps.split.ratios=[1,0,0]"],
    "groups": ["dataset=same.csv", "evaluator=[retrieval]"],
    "copies": ["dataset=copies.csv", "evaluator=[retrieval]"],
    "spoilt_negatives": ["dataset=spoilt.csv", "dataset.reader.columns={negative_1: negative}", "evaluator=[triplet]"],
    "one_label": [
        "dataset=one_label.csv",
        "dataset.reader.columns={label: label}",
        "loss=contrastive",
        "evaluator=[stsb]",
    ],
    "ids": ["dataset=ids.csv", "evaluator=[retrieval]", "dataset.reader.columns={anchor: anchor}"],
    "classes": ["dataset=tickets.csv", "loss=batch_hard", "evaluator=[classification]"],
    "threshold": ["dataset=scored.csv", "loss=mnrl"],
    "too_high": ["dataset=scored.csv", "loss=mnrl", "conversion.min_score=0.9"],
    "range": ["dataset=five.csv", "loss=cosent"],
    "no_negatives": ["dataset=pairs.jsonl", "loss=triplet", "evaluator=[retrieval]"],
    "few_triplets": ["dataset=few.jsonl", "evaluator=[retrieval]"],
    "few_nli": ["dataset=nli.csv", "loss=mnrl"],
    "class_names": ["dataset=labels.csv", "loss=mnrl", "evaluator=[stsb]"],
    "class_scores": ["dataset=labels.csv", "loss=softmax"],
    "shape": ["dataset=scored.csv", "loss=cosent", "shape=triplet"],
    "not_chosen": ["dataset=scored.csv", "loss=cosent", "evaluator.retrieval.dataset=finance"],
    "no_such_data": ["dataset=scored.csv", "loss=cosent", "evaluator.sts.dataset=financ"],
    "no_texts_left": ["dataset=scored.csv", "loss=cosent", "dataset.steps.split.ratios=[0,0,0]"],
}


def refusal_or_plan(folder, command):
    """What `python -m embexp` says of a command that it refuses, else the plan of the run."""
    try:
        with hydra_started():
            overrides = ["model=tiny", "trainer=smoke", "threads=1", "tracking=none", "paths.cache=null", *command]
            config, choices = composed(quote_texts(expand_paths([*dict.fromkeys(overrides)])))
            return plan_run(config, choices, folder, context=RunContext())
    except MISTAKES as error:
        return explain(error)


def said(folder, command):
    """What is said of a command before it trains, errors or else warnings."""
    found = refusal_or_plan(folder, command)
    return found if isinstance(found, str) else "\n".join(map(str, found.warnings))


def put_files(folder):
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")


# Tested in every run of the tests; the others are of the same kinds.
QUICK = ("positive_pair_with_label", "negative_list", "own_columns", "own_groups", "mega_batch", "few_triplets", "ids")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in QUICK else pytest.mark.matrix) for case in REFUSED]
)
def test_what_a_hint_says_on_data_leads_further(case, workplace):
    put_files(workplace)
    command = REFUSED[case]
    message = said(workplace, command)
    hints = hints_in(message)
    assert hints, message
    for hint in hints:
        assert "<" not in " ".join(hint), message
        after = said(workplace, with_hint(command, hint, message))
        assert after.splitlines()[:1] != message.splitlines()[:1], (shlex.join(hint), after)


@pytest.mark.parametrize(
    "command",
    [
        ["dataset=same.csv", "evaluator=[retrieval]", NOT_DIVIDED],
        ["dataset=scored.csv", "loss=cosent", NOT_DIVIDED],
        ["dataset=tied.csv", GOLD_COLUMNS.removeprefix("evaluator.sts."), "loss=cosent", NOT_DIVIDED],
    ],
    ids=lambda command: command[0],
)
def test_whoever_types_the_first_hint_again_and_again_comes_to_a_run(command, workplace):
    put_files(workplace)
    commands = [[*command]]
    while isinstance(message := refusal_or_plan(workplace, commands[-1]), str):
        commands.append(with_hint(commands[-1], hints_in(message)[0], message))
        assert commands[-1] not in commands[:-1], message
    assert 1 < len(commands) < 6


PARAPHRASE = "dataset.steps.augment_paraphrase.endpoint"
BY_A_SERVER = ["dataset=faq.csv", MAP, "evaluator=[retrieval]", "step=[split,augment_paraphrase]"]
ELSEWHERE = {
    "export": ["export=[int8]", "export.int8.calibration_texts=0"],
    "registry": ["tracking=mlflow", "tracking.register=mine", "tracking.log_model=false"],
    "checkpoints": ["tracking=mlflow", "tracking.checkpoint=some"],
    "store": ["tracking=mlflow", "tracking.experiment="],
    "workers": ["sweep.workers=-1"],
    "gpus": ["sweep.gpus=0"],
    "rerun": ["sweep.rerun=never"],
    "unknown keys": ["sweep.unknown_keys=drop"],
    "endpoint": [*BY_A_SERVER, f"{PARAPHRASE}.url=<url>/chat/completions", f"{PARAPHRASE}.model=toy"],
    "its limits": [*BY_A_SERVER, f"{PARAPHRASE}.url=<url>", f"{PARAPHRASE}.model=toy", f"{PARAPHRASE}.tries=0"],
    "its price": [*BY_A_SERVER, f"{PARAPHRASE}.url=<url>", f"{PARAPHRASE}.model=toy", f"{PARAPHRASE}.max_cost=5"],
}


@pytest.mark.slow
@pytest.mark.parametrize("case", ELSEWHERE)
def test_what_a_hint_on_exports_tracking_sweeps_and_endpoints_says_leads_further(case, workplace):
    put_files(workplace)
    with ChatServer(echo).running() as server:
        command = [each.replace("<url>", server.url) for each in ELSEWHERE[case]]
        message = refusal_or_plan(workplace, command)
        hints = [hint for hint in hints_in(message) if "=<price>" not in " ".join(hint)]
        assert hints, message
        for hint in hints:
            after = refusal_or_plan(workplace, with_hint(command, hint, message))
            assert not isinstance(after, str), (shlex.join(hint), after)


BLANKS = re.compile(r"=\S*<(?:your|yours|some of|more|column|class|lowest|highest|shape|split|other data)\b")
KEPT = {  # where the rows are not at hand, or hold nothing that could stand there
    "data/classes.py": 1,
    "data/columns.py": 1,
    "steps/negatives/candidates.py": 1,
    "steps/silver/silver.py": 1,  # epochs of a teacher
    "sweep/part_rows.py": 1,  # a column whose rows are not all alike
}


def test_no_further_hint_leaves_a_blank_that_the_data_could_fill():
    package = Path(embexp.__file__).parent
    found = {
        str(file.relative_to(package)): len(BLANKS.findall(file.read_text("utf-8"))) for file in package.rglob("*.py")
    }
    assert len(found) > 150
    assert {name: number for name, number in found.items() if number > KEPT.get(name, 0)} == {}

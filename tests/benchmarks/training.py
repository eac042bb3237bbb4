"""The same steps on the same pairs: embexp, and the plain script of every tutorial. Only the training is timed.

    EMBEXP_DATA=<folder> python tests/benchmarks/training.py

MiniLM on MNLI's entailments (long-tailed) where EMBEXP_DATA is given, and on the bundled short texts.
"""

from pathlib import Path

import workloads
from harness import Case, main, matrix_products_per_second, seconds_of

CASES = [
    Case("MNLI, mnrl, batch 32", 0.5, {"loss": "mnrl", "data": "mnli", "batch": 32, "steps": 20}),
    Case("MNLI, mnrl, batch 128", 0.5, {"loss": "mnrl", "data": "mnli", "batch": 128, "steps": 6}),
    Case("MNLI, cached_mnrl, batch 128", 0.5, {"loss": "cached_mnrl", "data": "mnli", "batch": 128, "steps": 6}),
    Case("bundled, mnrl, batch 32", 0.8, {"loss": "mnrl", "data": "bundled", "batch": 32, "steps": 20}),
]
PASSES = {"mnrl": 3, "cached_mnrl": 4}  # cached losses run the model forward twice


def embexp_side(data: str, loss: str, batch: int, steps: int) -> float:
    """Seconds of the training of a run, as its result tells them."""
    from embexp.config import compose
    from embexp.overrides import expand_paths
    from embexp.plan import plan_run
    from embexp.run import execute

    pairs = workloads.pairs(data, batch * steps)
    workloads.write_pairs(pairs)
    overrides = expand_paths(
        [
            *workloads.TOLD[data],
            "shape=positive_pair",
            "model=minilm",
            f"loss={loss}",
            f"trainer.per_device_train_batch_size={batch}",
            f"trainer.max_steps={steps}",
            "trainer.warmup_steps=100",
            "trainer.eval_strategy=no",
            "trainer.save_strategy=no",
            "tracking=none",
        ]
    )
    dataset = "finance" if data == "bundled" else "file"
    choices = {"dataset": dataset, "model": "minilm", "loss": loss, "modifier": "none", "trainer": "default"}
    plan = plan_run(compose(overrides), choices, Path("run").resolve())
    if workloads.pairs_of(plan.stages[-1].dataset.splits["train"]) != pairs:
        raise SystemExit("embexp would train on other pairs than its peer")
    return execute(plan).content["metrics"]["cost/train_seconds"]


def peer_side(data: str, loss: str, batch: int, steps: int) -> float:
    """Seconds of `trainer.train()` in a script with the library's defaults and the same batches."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer import losses
    from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

    classes = {
        "mnrl": losses.MultipleNegativesRankingLoss,
        "cached_mnrl": losses.CachedMultipleNegativesRankingLoss,
    }
    model = workloads.minilm()
    anchors, positives = zip(*workloads.pairs(data, batch * steps), strict=True)
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


def limit(data: str, loss: str, batch: int, steps: int) -> float:
    """Seconds of the layers' arithmetic on the real tokens of as many pairs as are trained on."""
    pairs = (workloads.pairs(data, batch * steps) * steps)[: batch * steps]
    texts = [text for pair in pairs for text in pair]
    return workloads.arithmetic_of(texts, PASSES[loss]) / matrix_products_per_second()


if __name__ == "__main__":
    cases = [case for case in CASES if workloads.HAS_DATA or case.arguments["data"] != "mnli"]
    main(__file__, __doc__, cases, {"embexp": embexp_side, "peer": peer_side}, limit)

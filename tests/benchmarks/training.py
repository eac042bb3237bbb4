"""The same steps on the same pairs: embexp, and the plain script of every tutorial. Only the training is timed.

    EMBEXP_DATA=<folder> python tests/benchmarks/training.py

MiniLM on MNLI's entailments (long-tailed) where EMBEXP_DATA is given, and on the bundled short texts.
"""

import workloads
from harness import Case, main, matrix_products_per_second, seconds_of, sized

CASES = [
    Case("MNLI, mnrl, batch 32", 0.5, {"loss": "mnrl", "data": "mnli", "batch": sized(32, 4), "steps": sized(20, 2)}),
    Case("MNLI, mnrl, batch 128", 0.5, {"loss": "mnrl", "data": "mnli", "batch": sized(128, 8), "steps": sized(6, 2)}),
    Case(
        "MNLI, cached_mnrl, batch 128",
        0.5,
        {"loss": "cached_mnrl", "data": "mnli", "batch": sized(128, 8), "steps": sized(6, 2)},
    ),
    Case(
        "bundled, mnrl, batch 32",
        0.8,
        {"loss": "mnrl", "data": "bundled", "batch": sized(32, 4), "steps": sized(20, 2)},
    ),
]
PASSES = {"mnrl": 3, "cached_mnrl": 4}  # cached losses run the model forward twice


def embexp_side(data: str, loss: str, batch: int, steps: int) -> float:
    """Seconds of the training of a run, as its result gives them."""
    pairs = workloads.pairs(data, batch * steps)
    workloads.write_pairs(pairs)
    result = workloads.run_in_process(
        data,
        "model=minilm",
        f"loss={loss}",
        f"trainer.per_device_train_batch_size={batch}",
        f"trainer.max_steps={steps}",
        f"trainer.warmup_steps={workloads.WARMUP}",
        trains_on=pairs,
    )
    return result["metrics"]["cost/train_seconds"]


def peer_side(data: str, loss: str, batch: int, steps: int) -> float:
    """Seconds of `trainer.train()` in a script with the library's defaults and the same batches."""
    return seconds_of(workloads.plain_trainer(workloads.pairs(data, batch * steps), loss, batch, steps).train)


def limit(data: str, loss: str, batch: int, steps: int) -> float:
    """Seconds of the layers' arithmetic on the real tokens of as many pairs as are trained on."""
    pairs = (workloads.pairs(data, batch * steps) * steps)[: batch * steps]
    texts = [text for pair in pairs for text in pair]
    return workloads.arithmetic_of(texts, PASSES[loss]) / matrix_products_per_second()


if __name__ == "__main__":
    cases = [case for case in CASES if workloads.HAS_DATA or case.arguments["data"] != "mnli"]
    main(__file__, __doc__, cases, {"embexp": embexp_side, "peer": peer_side}, limit)

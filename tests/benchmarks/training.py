"""The same steps on the same pairs: embexp, and the plain script of every tutorial. Only the training is timed.

    EMBEXP_DATA=<folder> python tests/benchmarks/training.py

MiniLM on MNLI's entailments (long-tailed) where EMBEXP_DATA is given, and on the bundled short texts. Besides the
script with the library's defaults there are stronger ones: with what a user can type in either (rows cut to 64 tokens;
bfloat16, on a CPU that multiplies it), and with batches of rows of one length, whose negatives are other ones.
"""

import random
from typing import Any

import workloads
from harness import Case, main, matrix_products_per_second, seconds_of, sized

LARGE = {"batch": sized(128, 8), "steps": sized(6, 2)}
USUAL = {"batch": sized(32, 4), "steps": sized(20, 2)}
MNLI = {"loss": "mnrl", "data": "mnli", **USUAL}
BUNDLED = {"loss": "mnrl", "data": "bundled", **USUAL}
CASES = [
    Case("MNLI, mnrl, batch 32", 0.4, MNLI),
    Case("MNLI, mnrl, batch 128", 0.25, MNLI | LARGE),
    Case("MNLI, cached_mnrl, batch 128", 0.5, MNLI | LARGE | {"loss": "cached_mnrl"}),
    Case("bundled, mnrl, batch 32", 0.75, BUNDLED),
    Case("MNLI, mnrl, batch 32, both cut to 64 tokens", 0.6, MNLI | {"both": "64 tokens"}),
    Case("MNLI, mnrl, batch 32, the script's batches by length", 1.0, MNLI | {"peer": "by length"}),
]
IN_BF16 = [
    Case("MNLI, mnrl, batch 32, both in bfloat16", 0.6, MNLI | {"both": "bf16"}),
    Case("bundled, mnrl, batch 32, both in bfloat16", 0.9, BUNDLED | {"both": "bf16"}),
    Case("MNLI, mnrl, batch 32, embexp in bfloat16", 0.3, MNLI | {"embexp": "bf16"}),
]
TYPED = {"": (), "64 tokens": ("model.max_seq_length=64",), "bf16": ("trainer.bf16=true",)}
PASSES = {"mnrl": 3, "cached_mnrl": 4}  # cached losses run the model forward twice


def embexp_side(data: str, loss: str, batch: int, steps: int, **differs: str) -> float:
    """Seconds of the training of a run, as its result gives them.

    Args:
        differs: from the defaults, in `both` or in `embexp`.
    """
    pairs = workloads.pairs(data, batch * steps)
    workloads.write_pairs(pairs)
    result = workloads.run_in_process(
        data,
        "model=minilm",
        f"loss={loss}",
        f"trainer.per_device_train_batch_size={batch}",
        f"trainer.max_steps={steps}",
        f"trainer.warmup_steps={workloads.WARMUP}",
        *TYPED[differs.get("both", "")],
        *TYPED[differs.get("embexp", "")],
        trains_on=pairs,
    )
    return result["metrics"]["cost/train_seconds"]


def peer_side(data: str, loss: str, batch: int, steps: int, **differs: str) -> float:
    """Seconds of `trainer.train()` in a script with the library's defaults and the same batches.

    Args:
        differs: from the defaults, in `both` or as a `peer`.
    """
    pairs = workloads.pairs(data, batch * steps)
    more: dict[str, Any] = {"bf16": True, "use_cpu": True} if differs.get("both") == "bf16" else {}
    if differs.get("peer") == "by length":
        pairs = by_length(pairs, batch)
        more["batch_sampler"] = in_order()
    trainer = workloads.plain_trainer(pairs, loss, batch, steps, **more)
    trainer.model.max_seq_length = 64 if differs.get("both") == "64 tokens" else trainer.model.max_seq_length
    return seconds_of(trainer.train)


def in_order() -> Any:
    """A sampler of sentence-transformers that takes the rows as they come."""
    from sentence_transformers.base.sampler import DefaultBatchSampler

    class InOrder(DefaultBatchSampler):
        def __init__(self, dataset: Any, **options: Any) -> None:
            super().__init__(range(len(dataset)), **options)

    return InOrder


def by_length(pairs: list[workloads.Pair], batch: int) -> list[workloads.Pair]:
    """The pairs in batches of like length, in random order."""
    pairs = sorted(pairs, key=lambda pair: max(map(len, pair)))
    batches = [pairs[start : start + batch] for start in range(0, len(pairs), batch)]
    return [pair for each in random.Random(0).sample(batches, len(batches)) for pair in each]


def limit(data: str, loss: str, batch: int, steps: int, **differs: str) -> float:
    """Seconds of the layers' arithmetic on the real tokens of as many pairs as are trained on.

    Args:
        differs: as the other sides have it.
    """
    import torch

    pairs = (workloads.pairs(data, batch * steps) * steps)[: batch * steps]
    texts = [text for pair in pairs for text in pair]
    rate = matrix_products_per_second(dtype=torch.bfloat16 if "bf16" in differs.values() else torch.float32)
    return workloads.arithmetic_of(texts, PASSES[loss], 64 if "64 tokens" in differs.values() else None) / rate


if __name__ == "__main__":
    cases = CASES + (IN_BF16 if workloads.cpu_has_bf16() else [])
    cases = [case for case in cases if workloads.HAS_DATA or case.arguments["data"] != "mnli"]
    main(__file__, __doc__, cases, {"embexp": embexp_side, "peer": peer_side}, limit)

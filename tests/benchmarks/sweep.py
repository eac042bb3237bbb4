"""A sweep of six cells compared with six plain scripts: from the first to the last second, imports and all.

    EMBEXP_DATA=<folder> python tests/benchmarks/sweep.py

Two losses and three seeds on MNLI pairs (without EMBEXP_DATA: the bundled ones), 20 steps of 32. Both sides score the
untouched and the trained model on STS-B dev and test. embexp also logs to MLflow, gives intervals, draws pictures and
makes a leaderboard.
"""

import json
from itertools import product
from pathlib import Path

import workloads
from harness import FOLDER, Case, main, seconds_of, sized

STEPS, BATCH = sized(20, 2), sized(32, 4)
LOSSES = {"mnrl": "MultipleNegativesRankingLoss", "cached_mnrl": "CachedMultipleNegativesRankingLoss"}
SEEDS = sized((1, 2, 3), (1,))
SCRIPT = str(FOLDER / "plain_script.py")


def write_data(data: str) -> None:
    """What both sides read: pairs to train on, scored pairs to evaluate with."""
    workloads.write_pairs(workloads.pairs(data, STEPS * BATCH))
    judge = "stsb" if data == "mnli" else "bundled"
    for split in ("dev", "test"):
        Path(f"{split}.json").write_text(json.dumps(workloads.scored_pairs(judge, split)), encoding="utf-8")


def embexp_side(data: str, workers: int = 0) -> float:
    """One multirun, as a user types it; dev is scored once, at the end, as the scripts do.

    Args:
        workers: processes that take job after job; 0: all in one.
    """
    write_data(data)
    return seconds_of(
        lambda: workloads.run_python(
            "-m",
            "embexp",
            "-m",
            *workloads.TOLD[data],
            "shape=positive_pair",
            f"loss={','.join(LOSSES)}",
            f"seed={','.join(map(str, SEEDS))}",
            f"trainer.max_steps={STEPS}",
            f"trainer.per_device_train_batch_size={BATCH}",
            f"trainer.eval_steps={STEPS}",
            "trainer.save_strategy=no",
            f"sweep.workers={workers}",
        )
    )


def peer_side(data: str, workers: int = 0) -> float:  # noqa: ARG001
    """Six processes of the same script, one after the other, each with all cores."""
    write_data(data)
    cells = [(LOSSES[loss], str(seed), str(STEPS), str(BATCH)) for loss, seed in product(LOSSES, SEEDS)]
    return seconds_of(lambda: [workloads.run_python(SCRIPT, *cell) for cell in cells])


if __name__ == "__main__":
    cases = [
        Case("six cells of 20 steps, all included", 0.4, {"data": workloads.DATA}),
        Case("the same in two workers", 0.4, {"data": workloads.DATA, "workers": 2}),
    ]
    main(__file__, __doc__, cases, {"embexp": embexp_side, "peer": peer_side})

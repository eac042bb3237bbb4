"""What MLflow costs a training of 200 steps: the seconds of a run's own profile compared with those of its training.

    EMBEXP_DATA=<folder> python tests/benchmarks/tracking.py

Two runs, with and without, would not tell: 2 % is less than a run differs from itself on a noisy machine. The store is
made for the run, so that its tables are created within what is measured.
"""

import workloads
from harness import Case, Numbers, options, report, row_of, run_side, sized

STEPS, BATCH = sized(200, 2), sized(32, 4)
CASES = {
    "log lines, parameters, artifacts, the model": (0.02, ("tracking",)),
    "the same and the import of mlflow": (0.03, ("tracking", "importing mlflow")),
}


def embexp_side(data: str) -> Numbers:
    """Seconds of each part of a run."""
    workloads.write_pairs(workloads.pairs(data, STEPS * BATCH))
    return workloads.run_embexp(
        data, f"trainer.max_steps={STEPS}", "trainer.eval_strategy=no", "trainer.save_strategy=no"
    )["profile"]


def main() -> None:
    given = options(__doc__, {"embexp": embexp_side})
    found = [run_side(__file__, "embexp", {"data": workloads.DATA}) for _ in range(given.repeats)]
    rows = []
    for name, (claimed, parts) in CASES.items():
        tracking = [each | {"seconds": sum(each[part] for part in parts)} for each in found]
        training = [each | {"seconds": each["training"]} for each in found]
        rows.append(row_of(Case(name, claimed, {}), {"tracking": tracking, "training": training}))
    report(__file__, rows)


if __name__ == "__main__":
    main()

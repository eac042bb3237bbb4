"""One GPU, eight minutes at most: embexp's `trainer=gpu` and what makes it faster, the tutorials' script, encoding.

    python tests/benchmarks/gpu.py [--only <part of a name>] [--seconds 450]

Each case runs in a process of its own, under a limit; what does not fit into the seconds is said. MiniLM, mnrl, made
texts of as many words as MNLI's, the same batches for all. A case first trains a few steps without dropout, whose
losses are compared with those of `trainer=gpu`, then from the start again with it; pairs per second are those after the
first third of the steps, when kernels are loaded and graphs are made.

Without a GPU only the making of batches is measured; under BENCHMARK_TINY=1 all cases run on a CPU, a few steps each.
"""

import argparse
import functools
import importlib.util
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import workloads
from harness import FOLDER, TINY, Numbers, machine, matrix_products_per_second, seconds_of, sized

SMALL, LARGE = sized((128, 1024), (4, 8))
STEPS = {SMALL: sized(150, 3), LARGE: sized(45, 3)}
SIZED = sized(
    (), ("model.num_layers=1", "trainer.bf16=false", "trainer.dataloader_num_workers=0", "model.forward=plain")
)
COMPARED = sized(8, 2)  # steps whose losses are compared
ENCODED = sized(20_000, 20)  # texts
LIMIT, COMPILING = 60, 150  # seconds that a case may take
ALL = 450  # seconds of all cases
WIDTHS = sized("[64,96,128]", "[16,32]")  # and the model's longest text; each is a graph, which takes long to make
PLAIN, TEXTS = "trainer=gpu", "trainer=gpu, texts tokenised batch by batch"
FEW = (f"trainer.pad_to={WIDTHS}",)
COMPILED = (*FEW, "trainer.torch_compile=true")
VARIANTS: dict[str, tuple[str, ...]] = {
    TEXTS: ("trainer.tokens_once=false",),
    PLAIN: (),
    "few widths": FEW,
    "few widths, compiled": COMPILED,
    "flash attention": ("model.attention=flash_attention_2",),
    "few widths, CUDA graphs": (*COMPILED, "++trainer.torch_compile_mode=reduce-overhead"),
    "each loss looked at": ("trainer.check_loss_steps=1",),
}
PEERS = {
    "script, fp16": {"fp16": True},
    "script, bf16, four loaders": {"bf16": True, "dataloader_num_workers": 4},
}
MAKING = {"batches of texts": TEXTS, "batches of tokens": PLAIN}  # by one process of the CPU
ENCODERS = ("embexp encodes", "sentence-transformers encodes")
# What matters most comes first: the last ones may not fit.
CASES = [
    *((name, SMALL) for name in [*VARIANTS][:5]),
    (PLAIN, LARGE),
    ("few widths, compiled", LARGE),
    ("script, fp16", SMALL),
    ("flash attention", LARGE),
    ("embexp encodes", 0),
    ("script, bf16, four loaders", SMALL),
    ("each loss looked at", SMALL),
    *((name, SMALL) for name in MAKING),
    ("script, bf16, four loaders", LARGE),
    ("few widths, CUDA graphs", SMALL),
    ("sentence-transformers encodes", 0),
]


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@functools.cache
def pairs_to_train_on(number: int) -> list[workloads.Pair]:
    """Made pairs; of the words of a text median and 99th percentile are MNLI's: 17 and 67, 10 and 23."""
    words = sorted({word for pair in workloads.bundled_pairs() for text in pair for word in text.split()})
    drawn = random.Random(0)

    def text(median: int, spread: float) -> str:
        return " ".join(drawn.choices(words, k=max(3, round(median * drawn.lognormvariate(0, spread)))))

    return [(text(17, 0.6), text(10, 0.36)) for _ in range(number)]


def trainer_of(name: str, batch: int, steps: int) -> tuple[Any, Any]:
    """A trainer, and what watches its losses: of embexp, or of the script."""
    import contextlib

    pairs = pairs_to_train_on(batch * STEPS[batch])[: batch * steps]
    if name in PEERS:
        options = PEERS[name] if has_gpu() else {}
        return workloads.plain_trainer(pairs, "mnrl", batch, steps, **options), contextlib.nullcontext()
    from embexp.config.compose import compose, instantiate, resolve
    from embexp.data.row_checks import dataset_of
    from embexp.losses.spec import spec_of
    from embexp.training.embedding_training import EmbeddingTraining
    from embexp.training.stage import _LossMonitor
    from embexp.training.stages import StagePlan

    typed = ["loss=mnrl", "model=minilm", "trainer=gpu", f"trainer.per_device_train_batch_size={batch}"]
    typed += [*SIZED, f"trainer.max_steps={steps}", "trainer.save_strategy=no", "trainer.logging_steps=1000000"]
    typed += [each for each in VARIANTS[name] if "flash" not in each or has_flash_attention()]
    if not has_gpu() and not TINY:
        typed += ["trainer.bf16=false"]
    if TINY:
        typed = [each for each in typed if "compile_mode" not in each]
        typed += ["++trainer.torch_compile_backend=eager"] if "trainer.torch_compile=true" in typed else []
    config = resolve(compose(typed))
    model = instantiate(config["model"]).load(lambda: (), Path())
    anchors, positives = zip(*pairs, strict=True)
    rows = dataset_of("pairs", "positive_pair", {"train": {"anchor": [*anchors], "positive": [*positives]}})
    stage = StagePlan("main", rows, spec_of("mnrl", config["loss"]), config["trainer"], Path("stage"), Path("cache"))
    training = EmbeddingTraining(stage, model)
    trainer = training.trainer(None, "", 42, [])
    return trainer, _LossMonitor(trainer, training.module, stage)


def has_flash_attention() -> bool:
    """Whether there is a package with it; else torch's own attention (sdpa) is in its place."""
    return has_gpu() and any(map(importlib.util.find_spec, ("flash_attn", "kernels")))


def wait() -> None:
    """Until the GPU has done all."""
    if has_gpu():
        import torch

        torch.cuda.synchronize()


def losses_of(name: str, batch: int) -> list[float]:
    """The losses of the first steps without dropout, which would be drawn anew for each shape."""
    import torch

    trainer, monitor = trainer_of(name, batch, COMPARED)
    found, compute = [], trainer.compute_loss
    for module in trainer.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0

    def compute_loss(*given: Any, **named: Any) -> torch.Tensor:
        found.append(compute(*given, **named))
        return found[-1]

    trainer.compute_loss = compute_loss
    with monitor:
        trainer.train()
    return [loss.item() for loss in found]


def trained(name: str, batch: int) -> dict[str, Any]:
    """Pairs per second and memory of a training, and the losses of another one without dropout."""
    import torch
    from transformers import TrainerCallback, set_seed

    steps = STEPS[batch]
    first = max(1, steps // 3)
    set_seed(42)
    losses = losses_of(name, batch)
    set_seed(42)
    trainer, monitor = trainer_of(name, batch, steps)
    began = 0.0

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            nonlocal began
            if state.global_step == first:
                wait()
                began = time.perf_counter()

    trainer.add_callback(Clock())
    with monitor:
        whole = seconds_of(trainer.train)
        wait()
    seconds = (time.perf_counter() - began) / (steps - first)
    found = {"pairs_per_second": batch / seconds, "seconds": seconds, "seconds_of_all": whole, "losses": losses}
    if has_gpu():
        texts = [text for pair in pairs_to_train_on(batch * steps)[: batch * 20] for text in pair]
        rate = matrix_products_per_second((8192, 8192, 8192), dtype=torch.bfloat16, device="cuda")
        found["share_of_matrix_rate"] = workloads.arithmetic_of(texts, 3) / 20 / seconds / rate
        found["gpu_mb"] = torch.cuda.max_memory_allocated() / 2**20
    return found


def made(name: str, batch: int) -> Numbers:
    """How fast one process of the CPU makes batches."""
    trainer, _ = trainer_of(MAKING[name], batch, STEPS[batch])
    rows, collate = trainer.train_dataset, trainer.data_collator
    places = [range(start, start + batch) for start in range(0, len(rows) - batch + 1, batch)][: sized(50, 2)]
    collate(rows.__getitems__([*places[0]]))
    seconds = seconds_of(lambda: [collate(rows.__getitems__([*place])) for place in places]) / len(places)
    return {"pairs_per_second": batch / seconds, "seconds": seconds}


def encoded(name: str) -> Numbers:
    """Texts per second, after some that load the kernels."""
    from embexp.models.encoding import ModelEncoder

    texts = [text for pair in pairs_to_train_on(ENCODED // 2) for text in pair]
    model = workloads.minilm()
    encode = ModelEncoder(model).encode if name == ENCODERS[0] else model.encode
    encode(texts[: len(texts) // 4])
    wait()
    seconds = seconds_of(lambda: encode(texts))
    return {"texts_per_second": len(texts) / seconds, "seconds": seconds}


def measured(name: str, batch: int) -> dict[str, Any]:
    return encoded(name) if name in ENCODERS else made(name, batch) if name in MAKING else trained(name, batch)


def in_process(name: str, batch: int, limit: float) -> dict[str, Any]:
    """A case in a process and an empty folder of its own; `failed` says why it has no numbers."""
    if limit < 10:
        return {"failed": "no time left"}
    command = [sys.executable, str(Path(__file__).resolve()), "--case", json.dumps([name, batch])]
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return {"failed": f"stopped after {limit:.0f} s"}
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1][:200]}
    return json.loads(done.stdout.splitlines()[-1])


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Speed, beside `trainer=gpu` with the same batch, and the largest difference of a loss to it."""
    lines = [
        "| case | batch | per second | times trainer=gpu | ms a step | of matrix rate | GPU MB | loss differs by |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    plain = {row["batch"]: row for row in rows if row["name"] == PLAIN and "failed" not in row}
    for row in rows:
        if "failed" in row:
            lines.append(f"| {row['name']} | {row['batch'] or ''} | {row['failed']} | | | | | |")
            continue
        speed = row.get("pairs_per_second") or row["texts_per_second"]
        base = plain.get(row["batch"]) if "losses" in row else None
        times = f"{speed / base['pairs_per_second']:.2f}" if base else ""
        differs = ""
        if base and row["name"] not in PEERS:  # which draw other numbers of fp16
            differs = f"{max(abs(one - other) for one, other in zip(row['losses'], base['losses'], strict=True)):.1g}"
        share = f"{100 * row['share_of_matrix_rate']:.2g} %" if "share_of_matrix_rate" in row else ""
        ms = f"{1000 * row['seconds']:.1f}" if row["batch"] else ""
        memory = f"{row['gpu_mb']:,.0f}" if "gpu_mb" in row else ""
        lines.append(
            f"| {row['name']} | {row['batch'] or ''} | {speed:,.0f} | {times} | {ms} | {share} | {memory} | {differs} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--seconds", type=float, default=ALL, help="of all cases together")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(measured(*given.case)))
        return
    is_run = has_gpu() or TINY
    if not is_run:
        print("bench-gpu was not run but for the making of batches: there is no GPU that torch can use")
    import torch

    where = {"device": torch.cuda.get_device_name() if has_gpu() else "CPU", **machine()}
    where["flash_attention"] = "2" if has_flash_attention() else "none: sdpa in its place"
    end, rows = time.monotonic() + given.seconds, []
    for name, batch in CASES:
        if given.only in name and not (TINY and batch == LARGE) and (is_run or name in MAKING):
            limit = COMPILING if {"compiled", "graphs"} & {*name.replace(",", "").split()} else LIMIT
            found = measured(name, batch) if TINY else in_process(name, batch, min(limit, end - time.monotonic()))
            rows.append({"name": name, "batch": batch, **found})
            print(table(rows).splitlines()[-1], file=sys.stderr, flush=True)
    print(", ".join(f"{key} {value}" for key, value in where.items()))
    print(table(rows))
    if is_run and not TINY:
        (FOLDER / "results").mkdir(exist_ok=True)
        (FOLDER / "results/gpu.json").write_text(json.dumps({"machine": where, "rows": rows}, indent=2) + "\n")
        (FOLDER / "results/gpu.md").write_text(table(rows) + "\n")


if __name__ == "__main__":
    main()

"""One GPU: embexp's `trainer=gpu` compared with the tutorials' script with fp16, on the same pairs, batch and steps.

    EMBEXP_DATA=<folder> python tests/benchmarks/gpu.py

Without a GPU it says that it was not run. Besides seconds it prints pairs per second, the share of the measured rate of
bfloat16 matrix products (without padding: tokens x parameters x 6 FLOP), and the GPU's peak memory.
"""

import workloads
from harness import Case, Numbers, main, matrix_products_per_second, seconds_of, sized

BATCH, STEPS = sized(128, 4), sized(200, 2)
EXTRA = {
    "as trainer=gpu has it": (),
    "model.forward=packed": ("model.forward=packed",),
    "torch.compile": ("+trainer.torch_compile=true",),
}


def numbers(seconds: float, pairs: list[workloads.Pair]) -> Numbers:
    """Seconds with what they mean on this GPU."""
    import torch

    texts = [text for pair in pairs for text in pair]
    rate = matrix_products_per_second((8192, 8192, 8192), dtype=torch.bfloat16, device="cuda")
    return {
        "seconds": seconds,
        "pairs_per_second": len(pairs) / seconds,
        "share_of_matrix_rate": workloads.arithmetic_of(texts, 3) / seconds / rate,
        "gpu_mb": torch.cuda.max_memory_allocated() / 2**20,
    }


def pairs_to_train_on() -> list[workloads.Pair]:
    return (workloads.pairs(workloads.DATA, BATCH * STEPS) * BATCH * STEPS)[: BATCH * STEPS]


def embexp_side(extra: str) -> Numbers:
    pairs = pairs_to_train_on()
    workloads.write_pairs(pairs)
    result = workloads.run_in_process(
        workloads.DATA,
        "model=minilm",
        "trainer=gpu",
        f"trainer.per_device_train_batch_size={BATCH}",
        f"trainer.max_steps={STEPS}",
        *EXTRA[extra],
    )
    return numbers(result["metrics"]["cost/train_seconds"], pairs)


def peer_side(extra: str) -> Numbers:  # noqa: ARG001
    pairs = pairs_to_train_on()
    trainer = workloads.plain_trainer(pairs, "mnrl", BATCH, STEPS, fp16=True)
    return numbers(seconds_of(trainer.train), pairs)


if __name__ == "__main__":
    import torch

    if torch.cuda.is_available():
        print(torch.cuda.get_device_name())
        cases = [Case(f"mnrl, batch {BATCH}, {extra}", 1.0, {"extra": extra}) for extra in EXTRA]
        main(__file__, __doc__, cases, {"embexp": embexp_side, "peer": peer_side})
    else:
        print("bench-gpu was not run: there is no GPU that torch can use")

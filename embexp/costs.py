"""What a run costs besides time: memory at its peak, parameters, and how fast the trained model encodes."""

import ctypes
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

CLEAR = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")
RESET_PEAK = "5"  # proc(5): the peak of resident memory becomes what is resident now
MB = 2**20


class Costs:
    """Costs of one run; `begin` starts the next run of the process with nothing."""

    def __init__(self) -> None:
        self._measures_memory = False
        self._parameters: int | None = None
        self._texts = 0
        self._seconds = 0.0

    def begin(self) -> None:
        """Forget the run before, its peak of memory too, where the system can forget it."""
        self.__init__()
        self._measures_memory = _reset_peak()

    def add_scoring(self, model: "SentenceTransformer", texts: int, seconds: float) -> None:
        """Note a scoring of the model that is trained: so many distinct texts were encoded in so many seconds."""
        self._parameters = sum(parameter.numel() for parameter in model.parameters())
        self._texts += texts
        self._seconds += seconds

    def metrics(self) -> dict[str, float]:
        """`cost/<what>` of all that is known: on a GPU the peak is that of its memory, without the CPU's."""
        found = {}
        if self._measures_memory and (peak := _peak_mb()):
            found["cost/peak_memory_mb"] = peak
        if self._parameters is not None:
            found["cost/parameters"] = float(self._parameters)
        if self._seconds > 0:
            found["cost/encode_texts_per_second"] = self._texts / self._seconds
        return found


def _reset_peak() -> bool:
    """Whether the peak of memory counts from now on."""
    if _on_gpu():
        import torch

        torch.cuda.reset_peak_memory_stats()
        return True
    if not CLEAR.exists():  # another system than Linux
        return False
    _give_back()
    try:
        CLEAR.write_text(RESET_PEAK)
    except OSError:  # a container that does not let us
        return False
    return True


def _give_back() -> None:
    """Hand what earlier runs of the process have freed back to the system: the C library would keep it as resident.

    Some stays, in pages that are partly used: 850 MB of a static model became 1,010 after eight steps of MiniLM in the
    same process, and 1,410 without this.
    """
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # of glibc only
        trim(0)


def _peak_mb() -> float:
    if _on_gpu():
        import torch

        return torch.cuda.max_memory_allocated() / MB
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _on_gpu() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_available()


COSTS = Costs()  # of this process's run

"""A loss that is no number: the advice names what is on, the learning rate first."""

from types import SimpleNamespace

import pytest
import torch

from embexp.errors import TrainingError
from embexp.training.callbacks import JournalCallback


@pytest.mark.parametrize(
    ("fp16", "dtype", "advice"),
    [
        (False, torch.float32, "type a smaller trainer.learning_rate, such as 0.0002."),
        (True, torch.float32, "such as 0.0002, or trainer.fp16=false trainer.bf16=true."),
        (False, torch.float16, "such as 0.0002. The weights are float16, which cannot be trained: type model.dtype="),
    ],
)
def test_the_advice_names_what_is_on(fp16, dtype, advice):
    arguments, state = SimpleNamespace(learning_rate=2e-3, fp16=fp16), SimpleNamespace(global_step=7)
    model = torch.nn.Linear(1, 1).to(dtype)
    with pytest.raises(TrainingError, match=r"^The loss is nan at step 7\. Expected a finite number: ") as error:
        JournalCallback(None, "main").on_log(arguments, state, None, {"loss": float("nan")}, model=model)
    assert advice in str(error.value)
    assert ("fp16" in str(error.value)) == fp16

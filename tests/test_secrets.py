"""What a run, a sweep, a study and an export write, print and send holds no secret of five kinds."""

import os
import re
from pathlib import Path

import pytest
from conftest import TINY
from servers import mlflow_server
from typed_commands import done_in

PLANTED = {
    "in the store's address": "pw-InTheAddress",
    "under a key": "hf_TypedUnderAKey",
    "HF_TOKEN": "hf_OfTheEnvironment",
    "OPENAI_API_KEY": "sk-OfTheEnvironment",
    "PGPASSWORD": "pg-OfTheEnvironment",
}
SHORT = (*TINY, "loss=cosent", "trainer.max_steps=2")
COMMANDS = {
    "a run": ("embexp", *SHORT, "hydra.run.dir=run"),
    "a sweep": ("embexp", "-m", *SHORT, "seed=1,2", "sweep.workers=2"),
    "a study": ("embexp.tune", *SHORT, "trials=1", "loss.scale=interval(10,30)"),
    "an export": ("embexp.export", "run=run", "export=int8"),
    "a mistake": ("embexp", *SHORT, "loss.scael=1"),
    "a store that refuses": ("embexp", *SHORT, "tracking.uri=http://me:pw-InTheAddress@127.0.0.1:9"),
}


def secrets_below(folder: Path) -> list[tuple[str, str]]:
    """Files that hold a planted secret, in plain or as a part of a binary file."""
    found = []
    for path in (path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        found += [(str(path.relative_to(folder)), kind) for kind, value in PLANTED.items() if value.encode() in content]
    return found


@pytest.mark.slow
def test_nothing_that_is_written_printed_or_sent_holds_a_secret(workplace):
    environment = os.environ | {name: value for name, value in PLANTED.items() if re.fullmatch("[A-Z_]+", name)}
    environment |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    (workplace / "server").mkdir()
    (workplace / "work").mkdir()
    with mlflow_server(workplace / "server") as uri:
        store = f"tracking.uri={uri.replace('://', '://me:pw-InTheAddress@')}"
        for name, (module, *typed) in COMMANDS.items():
            keys = [] if "export" in module else [store, "+hydra.job.env_set.MY_TOKEN=hf_TypedUnderAKey"]
            named = environment | ({"MLFLOW_TRACKING_URI": store.partition("=")[2]} if "export" in module else {})
            done = done_in(workplace / "work", *module.split(".")[1:], *keys, *typed, environment=named)
            assert (done.returncode == 0) == ("mistake" not in name and "refuses" not in name), done.stderr
            said = done.stdout + done.stderr
            assert [line for line in said.splitlines() if any(value in line for value in PLANTED.values())] == [], name
    assert secrets_below(workplace) == []
    assert "***" in (workplace / "work/run/config.yaml").read_text()
    assert (workplace / "work/run").stat().st_mode & 0o077 == 0

"""The catalogue: it shows what the YAML files say, in a second, and docs/losses.md says the same."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from embexp.config.compose import option_of
from embexp.config.session import conf_dir
from embexp.losses import catalogue
from embexp.losses.catalogue import COMMAND, SAMPLERS, TRAITS, _as_markdown, _losses, _modifiers, main

ROOT = Path(__file__).parent.parent.parent
NAMES = sorted(path.stem for path in conf_dir().glob("loss/*.yaml") if path.stem != "auto")


@pytest.fixture(autouse=True, scope="module")
def read_once():
    """The YAML files are read once for all tests: that takes two seconds."""
    yamls = functools.cache(lambda group, read=catalogue._yamls: [*read(group)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "_yamls", yamls)
        yield


def test_the_table_in_docs_is_that_of_the_yaml_files():
    written = (ROOT / "docs" / "losses.md").read_text(encoding="utf-8")
    assert written == _as_markdown(), f"docs/losses.md is stale. Type: {COMMAND}"


def test_every_loss_and_every_modifier_is_in_it():
    assert [entry.name for entry in _losses()] == NAMES
    assert len(NAMES) >= 27
    assert [entry.name for entry in _modifiers()] == ["adaptive_layer", "matryoshka", "matryoshka_2d", "orthogonal"]
    assert all(entry.when and entry.paper for entry in (*_losses(), *_modifiers()))


def test_what_an_entry_says():
    (gist,) = [entry for entry in _losses() if entry.name == "gist"]
    assert gist.shapes == ("triplet", "positive_pair")
    assert gist.labels == ("none",)
    assert gist.when.startswith("mnrl without in-batch negatives that a second model, the guide,")
    assert gist.needs == ("a transformer", "batches without duplicates", "a second model (guide)")
    assert gist.habits == ("reads 1 negative of a row", "takes the other rows of a batch as negatives")
    assert gist.paper == "Solatorio 2024 (GISTEmbed), arXiv:2402.16829"


def test_a_modifier_names_the_losses_that_it_refuses():
    (orthogonal,) = [entry for entry in _modifiers() if entry.name == "orthogonal"]
    assert orthogonal.apart == ("cached_gist", "cached_mnrl", "mega_batch (unless use_mini_batched_version=false)")


@pytest.mark.parametrize("name", NAMES)
def test_every_word_of_a_yaml_has_its_words(name):
    node = option_of("loss", name)
    traits = [entry if isinstance(entry, str) else next(iter(entry)) for entry in node.get("_traits_", [])]
    assert set(traits) <= set(TRAITS)
    assert node.get("_batch_sampler_", "no_duplicates") in SAMPLERS


def test_a_shape_leaves_the_losses_that_accept_it(capsys):
    main(["text"])
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines() if line and not line.startswith(" ")] == [
        "contrastive_tension_in_batch",
        "These",
    ]


def test_an_unknown_shape_is_refused_with_the_nearest():
    with pytest.raises(SystemExit) as end:
        main(["triplets"])
    assert str(end.value).startswith("Error: 'triplets' is not a shape, a loss or a modifier.")
    assert "Did you mean 'triplet'" in str(end.value)


def test_the_command_prints_all_without_torch():
    code = "import sys; from embexp.losses.catalogue import main; main([]); print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "False"
    assert sum(line.startswith(tuple(NAMES)) for line in printed.splitlines()) == len(NAMES)
    assert "\nModifiers: modifier=<name> wraps around a loss.\n" in printed


@pytest.mark.parametrize("name", ["mnrl", "orthogonal"])
def test_a_name_leaves_the_loss_or_modifier_that_is_called_so(name, capsys):
    main([name])
    printed = capsys.readouterr().out
    *block, _, arguments = printed.splitlines()
    assert [line.split()[0] for line in block if not line.startswith(" ")] == [name]
    assert arguments == f"Its arguments: python -m embexp --help {'loss' if name == 'mnrl' else 'modifier'}={name}"


@pytest.mark.parametrize("width", [70, 80, 200])
def test_the_catalogue_fits_the_terminal(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    main([])
    assert min(width, 118) - 5 < max(map(len, capsys.readouterr().out.splitlines())) <= min(width, 118)


def test_markdown_is_of_all_losses():
    with pytest.raises(SystemExit, match=r"--markdown prints all of docs/losses\.md; triplet was given, too\. Leave"):
        main(["--markdown", "triplet"])


def test_a_reader_who_stops_early_ends_the_command_quietly():
    read, write = os.pipe()
    os.close(read)  # nobody will read what is written
    command = [sys.executable, "-m", "embexp.losses"]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, b"")

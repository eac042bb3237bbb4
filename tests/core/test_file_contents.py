"""A saved model is known by every file that changes what it computes, and by nothing else."""

import errno
import json
import os
import shutil

import pytest

from embexp.core import file_contents
from embexp.core.file_contents import content_hash, disk_use, folder_hash, link_copies, model_hash, sha256_of

OWN = "sentence_transformers.models."
MODULES = [
    {"idx": 0, "path": "", "type": f"{OWN}Transformer"},
    {"idx": 1, "path": "1_Pooling", "type": f"{OWN}Pooling"},
    {"idx": 2, "path": "2_Dense", "type": f"{OWN}Dense"},
]


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def whole_model(folder):
    """A transformer, pooling and a dense layer, with what the Hub and a training leave next to them."""
    counting = {
        "modules.json": MODULES,
        "config.json": {"model_type": "bert"},
        "config_sentence_transformers.json": {"prompts": {}},
        "sentence_bert_config.json": {"max_seq_length": 256},
        "model.safetensors": "weights",
        "tokenizer.json": {"lowercase": True},
        "tokenizer_config.json": {},
        "special_tokens_map.json": {},
        "vocab.txt": "a\nb",
        "merges.txt": "a b",
        "sentencepiece.bpe.model": "pieces",
        "1_Pooling/config.json": {"pooling_mode_mean_tokens": True},
        "2_Dense/config.json": {"in_features": 8},
        "2_Dense/model.safetensors": "more weights",
        "2_Dense/deeper/still/tokenizer.json": {},
    }
    others = {
        "README.md": "A model.",
        "LICENSE": "Apache",
        ".gitattributes": "*.bin lfs",
        ".git/config": "[core]",
        "pytorch_model.bin": "the same weights",
        "tf_model.h5": "the same",
        "onnx/model.onnx": "the same",
        "openvino/openvino_model.bin": "the same",
        "2_Dense/pytorch_model.bin": "the same",
        "checkpoint-500/model.safetensors": "earlier weights",
        "eval/similarity_evaluation_results.csv": "epoch,score",
        "optimizer.pt": "moments",
        "rng_state.pth": "states",
        "trainer_state.json": {},
        "training_args.bin": "arguments",
        "train.log": "step 1",
        "mlflow.db": "runs",
        "runs/2026-01-01/00-00-00/run.json": {},
        "picture.png": "pixels",
    }
    return write(folder, counting | others), counting, others


def sharded(folder):
    index = {
        "weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors", "c": "parts/c.safetensors"}
    }
    counting = {"config.json": {}, "model.safetensors.index.json": index, "vocab.txt": "a"}
    counting |= dict.fromkeys(index["weight_map"].values(), "weights")
    return write(folder, counting | {"pytorch_model-1-of-1.bin": "old"}), counting, {"pytorch_model-1-of-1.bin": ""}


def pickled(folder):
    """As models were saved before safetensors."""
    counting = {"config.json": {}, "pytorch_model.bin": "weights", "vocab.txt": "a", "added_tokens.json": {}}
    return write(folder, counting), counting, {}


def routed(folder):
    """Two towers, one folder below another."""
    towers = {f"0_Router/{side}_0_StaticEmbedding/{name}": "x" for side in ("query", "document") for name in ("a", "b")}
    modules = [{"idx": 0, "path": "0_Router", "type": f"{OWN}Router"}]
    counting = {"modules.json": modules, "0_Router/router_config.json": {}, **towers}
    return write(folder, counting), counting, {}


def with_code(folder):
    """A model with code of its own, which may read any file."""
    counting = {
        "config.json": {"auto_map": {"AutoModel": "modeling.Mine"}},
        "modeling.py": "class Mine: ...",
        "model.safetensors": "weights",
        "adapters/adapter.bin": "more",
        "table.csv": "read by the code",
    }
    others = {"README.md": "A model.", "optimizer.pt": "moments", ".git/config": "x"}
    return write(folder, counting | others), counting, others


@pytest.mark.parametrize("made", [whole_model, sharded, pickled, routed, with_code])
def test_each_file_that_is_read_counts_and_no_other(tmp_path, made):
    folder, counting, others = made(tmp_path / "model")
    before = model_hash(folder)
    for name in counting:
        path = folder / name
        kept, times = path.read_bytes(), os.stat(path)
        path.write_bytes(kept[:-1] + b"?")  # as long as before
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # and as old
        assert model_hash(folder) != before, name
        path.write_bytes(kept)
        assert model_hash(folder) == before, name
    for name in others:
        (folder / name).write_text("edited", encoding="utf-8")
        assert model_hash(folder) == before, name
        (folder / name).unlink()
        assert model_hash(folder) == before, name
    for path in folder.rglob("*"):
        os.utime(path)
    assert model_hash(folder) == before
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "link").symlink_to(folder)
    assert {model_hash(tmp_path / name) for name in ("copy", "link")} == {before}
    first = next(iter(counting))
    (folder / first).rename(folder / f"{first}.other")
    assert model_hash(folder) != before


def test_a_file_that_is_new_counts(tmp_path):
    folder, *_ = pickled(tmp_path)
    before = model_hash(folder)
    write(folder, {"tokenizer.json": {}})
    assert model_hash(folder) != before


@pytest.mark.parametrize("chain", [1, 3])
def test_an_adapter_counts_with_its_base_and_the_base_of_that(tmp_path, monkeypatch, chain):
    monkeypatch.chdir(tmp_path)
    base = write(tmp_path / "base-0", {"config.json": {}, "model.safetensors": "weights", "README.md": "Base."})
    for number in range(chain):  # a relative path, an absolute one, ...
        name = f"base-{number}" if number % 2 else str(tmp_path / f"base-{number}")
        adapter = {"adapter_config.json": {"base_model_name_or_path": name}, "adapter_model.safetensors": "matrices"}
        write(tmp_path / f"base-{number + 1}", adapter)
    model = tmp_path / f"base-{chain}"
    seen = [model_hash(model)]
    for folder in (base, model):
        (folder / "README.md").write_text("Another text.")
    assert model_hash(model) == seen[0]
    for name in ("model.safetensors", "config.json"):
        (base / name).write_text('{"other": 1}')
        seen.append(model_hash(model))
    write(model, {"adapter_model.safetensors": "others"})
    assert len({*seen, model_hash(model)}) == 4


def test_a_base_in_the_cache_of_hugging_face_counts(tmp_path, monkeypatch):
    snapshot = tmp_path / "models--org--toy" / "snapshots" / ("c" * 40)
    blobs = write(tmp_path / "models--org--toy" / "blobs", {"1": "weights", "2": "{}"})
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(blobs / "1")
    (snapshot / "config.json").symlink_to(blobs / "2")
    monkeypatch.setattr(
        file_contents, "cached_snapshot", lambda name, revision: snapshot if name == "org/toy" else None
    )
    adapter = {"adapter_config.json": {"base_model_name_or_path": "org/toy"}, "adapter_model.safetensors": "matrices"}
    model = write(tmp_path / "adapter", adapter)
    before = model_hash(model)
    (blobs / "1").write_text("others")
    assert model_hash(model) != before
    write(model, {"adapter_config.json": {"base_model_name_or_path": "org/not-here"}})
    assert model_hash(model)


def test_adapters_that_name_each_other_come_to_an_end(tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        write(tmp_path / name, {"adapter_config.json": {"base_model_name_or_path": str(tmp_path / other)}})
    assert model_hash(tmp_path / "a")


def test_modules_that_lie_elsewhere_count(tmp_path):
    shared = write(tmp_path / "shared" / "pooling", {"config.json": {"mean": True}})
    modules = [{"path": "", "type": f"{OWN}Transformer"}, {"path": "1_Pooling", "type": f"{OWN}Pooling"}]
    linked = write(tmp_path / "linked", {"modules.json": modules, "config.json": {}})
    (linked / "1_Pooling").symlink_to(shared)
    modules[1]["path"] = "../shared/pooling"
    named = write(tmp_path / "named", {"modules.json": modules, "config.json": {}})
    before = [model_hash(folder) for folder in (linked, named)]
    write(shared, {"config.json": {"mean": False}})
    assert (model_hash(linked) != before[0], model_hash(named) != before[1]) == (True, True)


def test_files_that_make_no_sense_are_left_to_loading(tmp_path):
    for content in ("{", "[1]", "null", "3", '{"weight_map": 1}'):
        names = ("modules.json", "config.json", "adapter_config.json", "model.safetensors.index.json")
        assert model_hash(write(tmp_path, dict.fromkeys(names, content)))


def test_a_folder_that_is_no_model_counts_with_all_its_files(tmp_path):
    folder = write(tmp_path / "notes", {"README.md": "text", "deep/below/a.csv": "1"})
    seen = [folder_hash(folder)]
    for name in ("README.md", "deep/below/a.csv"):
        (folder / name).write_text("2")
        seen.append(folder_hash(folder))
    assert len({*seen}) == 3
    (folder / "round").symlink_to(folder)  # a folder in itself
    assert folder_hash(folder) == seen[-1]


def test_a_call_that_names_a_model_sees_weights_of_every_form_in_it(tmp_path):
    folder, *_ = whole_model(tmp_path)
    before = folder_hash(folder)
    (folder / "README.md").write_text("Another text.")
    assert folder_hash(folder) == before
    (folder / "onnx/model.onnx").write_text("other weights")
    assert folder_hash(folder) != before


def test_a_file_is_read_once_for_as_long_as_nobody_touches_it(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(file_contents, "sha256_of", lambda path: read.append(path) or sha256_of(path))
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    times = os.stat(path)
    first = content_hash(path), content_hash(path)
    assert len(read) == 2  # it was written a moment ago
    monkeypatch.setattr(file_contents.time, "time", lambda: times.st_ctime + 3)
    assert {*first, content_hash(path), content_hash(path)} == {first[0]}
    assert len(read) == 3
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert content_hash(path) != first[0]


LARGE = b"x" * 2**20


@pytest.mark.parametrize(
    ("copied", "is_linked"),
    [
        ({"model.safetensors": LARGE}, True),
        ({"子 文件/1_Dense/model.safetensors": LARGE}, True),
        ({"model.safetensors": LARGE[:-1] + b"y"}, False),  # other weights
        ({"config.json": b"{}"}, False),  # not worth it
        ({"optimizer.pt": LARGE}, None),  # the original has no such file
    ],
)
def test_a_copy_takes_no_room_of_its_own_where_it_is_the_same(copied, is_linked, tmp_path):
    original, copy = tmp_path / "original", tmp_path / "copy"
    for name, content in copied.items():
        for folder in (copy, *([original] if is_linked is not None else [])):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(LARGE if folder == original and len(content) > 2 else content)
    freed = link_copies(copy, original)
    assert freed == (2**20 if is_linked else 0)
    assert disk_use(tmp_path) == sum(len(content) for content in copied.values()) * (2 if is_linked is False else 1)
    shutil.rmtree(original, ignore_errors=True)
    assert {name: (copy / name).read_bytes() for name in copied} == copied


def test_a_disk_without_links_keeps_the_copy(tmp_path, monkeypatch):
    for name in ("original", "copy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(LARGE)

    def refuse(*_):
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", refuse)
    assert link_copies(tmp_path / "copy", tmp_path / "original") == 0
    assert disk_use(tmp_path / "copy") == 2**20

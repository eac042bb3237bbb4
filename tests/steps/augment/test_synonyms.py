"""Synonyms from WordNet's files and from files of groups, small ones written by hand; the real WordNet where it is."""

from pathlib import Path
from random import Random

import pytest

from embexp.errors import ConfigError, DataError
from embexp.steps.augment.synonyms import PARTS, SynonymGroups, Synonyms, WordNet

LICENCE = "  1 This software and database is being provided to you, the LICENSEE\n"
DATA = {
    "noun": "00000001 06 n 03 car 0 auto 0 motor_car 0 001 @ 00000002 n 0000 | a vehicle\n"
    "00000002 06 n 02 car 1 railcar 0 000 | on rails\n"
    "00000003 21 n 01 profit 0 000 | gain\n00000004 06 n 02 rose 0 rosebush 0 000 | a flower\n",
    "verb": "00000001 40 v 02 profit 0 gain 3 000 | to gain\n",
    "adj": "00000001 00 a 03 big 0 large(p) 0 Big 0 000 | of size\n",
    "adv": "00000001 02 r 02 now 0 at_present 0 000 | at this time\n",
}
INDEX = {
    "noun": "car n 2 1 @ 2 1 00000001 00000002\nmotor_car n 1 0 1 0 00000001\nprofit n 1 0 1 1 00000003\n"
    "rose n 1 0 1 1 00000004\n",
    "verb": "profit v 1 0 1 4 00000001\n",
    "adj": "big a 1 0 1 1 00000001\n",
    "adv": "now r 1 0 1 0 00000001\n",
}


@pytest.fixture
def wordnet(tmp_path):
    for part in PARTS:
        (tmp_path / f"data.{part}").write_text(LICENCE + DATA[part])
        (tmp_path / f"index.{part}").write_text(LICENCE + INDEX[part])
    (tmp_path / "verb.exc").write_text("rose rise\n")
    return str(tmp_path)


@pytest.fixture
def groups(tmp_path):
    path = tmp_path / "groups.txt"
    path.write_text("Ba01A01= 银行 钱庄 银号\nBa01A02# 利率 汇率\nBa01A03@ 孤独\n提高 上调\n\n")
    return str(path)


def test_the_most_frequent_sense_counts_and_then_the_next_ones(wordnet):
    assert WordNet(wordnet, 1).synonyms_of("car") == ("auto", "motor car")
    assert WordNet(wordnet, 2).synonyms_of("car") == ("auto", "motor car", "railcar")


def test_the_part_of_speech_that_is_used_in_more_senses_counts(wordnet):
    assert WordNet(wordnet, 1).synonyms_of("profit") == ("gain",)


def test_markers_go_and_a_word_is_no_synonym_of_itself(wordnet):
    assert WordNet(wordnet, 1).synonyms_of("big") == ("large",)
    assert WordNet(wordnet, 1).synonyms_of("cars") == ()


def test_an_irregular_form_of_another_word_has_none(wordnet):
    assert WordNet(wordnet, 1).synonyms_of("rose") == ()


def test_words_are_replaced_in_their_case_and_names_stay(wordnet):
    change = Synonyms(0.9, WordNet(wordnet, 1))
    assert {change("Big profit, (car) of Profit CAR now.", Random(seed)) for seed in range(20)} == {
        "Large gain, (auto) of Profit CAR now.",
        "Large gain, (motor car) of Profit CAR now.",
    }  # "now" is a stop word


def test_the_share_is_one_of_all_words(wordnet):
    text = " ".join(["car of it"] * 100)
    made = Synonyms(0.1, WordNet(wordnet, 1))(text, Random(1))
    assert made.split().count("car") == 70 + made.split().count("motor")
    assert Synonyms(0.1, WordNet(wordnet, 1))("nothing here", Random(1)) == "nothing here"


def test_a_folder_without_wordnet_says_where_it_comes_from(tmp_path):
    with pytest.raises(
        DataError, match=r"lacks index\.noun, .*apt-get install wordnet-base .*(.|\n)*hint: type folder=<folder"
    ):
        WordNet(str(tmp_path), 1)


@pytest.mark.skipif(not Path("/usr/share/wordnet/index.noun").is_file(), reason="wordnet-base is not installed")
def test_the_real_wordnet():
    assert WordNet("/usr/share/wordnet", 1).synonyms_of("car") == ("auto", "automobile", "machine", "motorcar")
    assert WordNet("/usr/share/wordnet", 1).synonyms_of("went") == ()


def test_groups_of_one_meaning_are_synonyms_and_others_are_not(groups):
    source = SynonymGroups(groups)
    assert (source.synonyms_of("银行"), source.synonyms_of("上调")) == (("钱庄", "银号"), ("提高",))
    assert [source.synonyms_of(word) for word in ("利率", "孤独", "Ba01A01=")] == [(), (), ()]
    assert {Synonyms(0.9, source)("银行提高了利率。", Random(seed)) for seed in range(20)} == {
        "钱庄上调了利率。",
        "银号上调了利率。",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "path=null names no file of synonyms"),
        (b"\xd2\xf8\xd0\xd0", "is not in UTF-8"),
        (b"one\ntwo", "no group"),
    ],
)
def test_a_file_that_does_not_serve_is_refused(content, message, tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(content or b"")
    with pytest.raises(DataError, match=message) as refusal:
        SynonymGroups(None if content is None else str(path))
    assert "words of one meaning on each line" in str(refusal.value)


def test_a_wrong_share_is_refused(groups):
    with pytest.raises(ConfigError, match="share=1 was given"):
        Synonyms(1, SynonymGroups(groups))

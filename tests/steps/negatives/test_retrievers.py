"""What each retriever finds, on texts and numbers one can check by hand."""

import math

import numpy
import pytest
from mined_rows import GivenScores, mined, negatives_of, pairs, pool
from plane_encoder import PlaneEncoder

from embexp.errors import ConfigError
from embexp.steps.negatives.candidates import RandomRetriever, RankFusionRetriever, RerankingRetriever, RuleRetriever
from embexp.steps.negatives.retrievers import Bm25Retriever, EmbeddingRetriever
from embexp.steps.word_tokenizer import Terms

BM25 = Bm25Retriever("english", k1=1.5, b=0.75)
VALUATION = "什么是市盈率如何使用它评估股票价值"
DEFINITIONS = [
    "市盈率是股票价格与每股收益之比，衡量投资者愿意为一元利润付多少钱，用来判断股票价值是高估还是低估。",
    "毛利率是毛利占收入的百分比，反映产品的获利空间。",
    "市净率是股票价格与每股净资产之比，常用来评估银行等重资产公司的股票价值。",
    "资产负债率表示负债占总资产的比重，用于观察偿债风险。",
    "净资产收益率说明股东投入的资本一年赚了多少。",
    "市销率是股票市值与营业收入之比，适合评估尚未盈利的成长公司的股票价值。",
    "移动平均线把一段时间的收盘价取平均，帮助看清趋势。",
    "定投是按固定时间买入固定金额的基金，以摊平成本。",
    "现金流折现法把未来现金流按折现率换算成今天的金额。",
    "止损单在价格跌到设定水平时自动卖出，以限制亏损。",
]


def found(retriever, some, k=10):
    """The texts that a retriever finds for each query, best first."""
    places = retriever.search(some, k).places
    return [[some.documents[place] for place in row if place >= 0] for row in places.tolist()]


def test_the_price_earnings_question_gets_the_definitions_of_its_neighbours():
    """The case of the Chinese tutorial, in words of our own."""
    dataset = pairs((VALUATION, DEFINITIONS[0]), *((f"{text[:4]}是什么", text) for text in DEFINITIONS[1:]))
    made = mined(dataset, num_negatives=2)
    assert sorted(text[:3] for text in negatives_of(made)[0]) == ["市净率", "市销率"]
    assert [text[:3] for text in found(BM25, pool((VALUATION, DEFINITIONS[:1], DEFINITIONS[1:])))[0][:3]] == [
        "市盈率",
        "市净率",
        "市销率",
    ]


def test_terms_are_stems_and_words_of_chinese_without_stop_words():
    terms = Terms("english")
    assert terms.numbers_of("The investors invested in ETFs") == terms.numbers_of("investor, INVEST etf")
    numbers = terms.numbers_of("我在银行买了ETF基金")
    names = {number: name for name, number in terms.numbers.items()}
    assert [names[number] for number in numbers] == ["银行", "买", "etf", "基金"]
    assert len({*Terms(None).numbers_of("invest invested")}) == 2
    with pytest.raises(ConfigError, match=r"retriever\.language=englsh has no stemmer.*Did you mean 'english'"):
        Terms("englsh")


def test_bm25_scores_are_those_of_its_formula():
    some = pool(("gold price", ["gold gold coins"], ["silver price", "unrelated words here"]))
    candidates = BM25.search(some, 10)
    idf = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))  # of both terms: each is in one of three documents
    mean_length = (3 + 2 + 2) / 3  # "here" is a stop word

    def score(times, length):
        return idf * times / (times + 1.5 * (1 - 0.75 + 0.75 * length / mean_length))

    assert found(BM25, some) == [["gold gold coins", "silver price"]]  # the third one shares no term
    assert candidates.scores[0, :2] == pytest.approx([score(2, 3), score(1, 2)], rel=1e-5)
    assert candidates.positive_scores == pytest.approx([score(2, 3)], rel=1e-5)


def test_bm25_finds_what_a_score_of_every_document_finds(monkeypatch):
    monkeypatch.setattr("embexp.steps.negatives.retrievers.SCORES_HELD", 50)  # many blocks
    random = numpy.random.default_rng(1)
    texts = [" ".join(f"w{word}" for word in random.zipf(1.5, 8) % 50) for _ in range(90)]
    some = pool(*((query, [text], []) for query, text in zip(texts[:30], texts[30:60], strict=True)), corpus=texts[60:])
    candidates, everything = BM25.search(some, 5), BM25.search(some, len(some.documents))
    assert len(everything.scores[0]) == len(some.documents)
    numpy.testing.assert_array_equal(candidates.places, everything.places[:, :5])
    assert (numpy.diff(everything.scores, axis=1)[everything.places[:, 1:] >= 0] <= 0).all()


def test_texts_without_a_term_have_no_candidates():
    assert found(BM25, pool(("?!", ["the"], ["..."]))) == [[]]


ANGLES = {"q": 0, "p": 30, "near": 10, "far": 80, "r": 90}


def test_embeddings_are_ranked_by_their_angle():
    some = pool(("q", ["p"], ["far", "near"]), ("r", ["far"], []))
    candidates = EmbeddingRetriever(PlaneEncoder(ANGLES)).search(some, 2)
    assert found(EmbeddingRetriever(PlaneEncoder(ANGLES)), some, 2) == [["near", "p"], ["far", "p"]]
    cosines = numpy.cos(numpy.radians([[10, 30], [10, 60]]))
    assert candidates.scores == pytest.approx(cosines, abs=1e-6)
    assert candidates.positive_scores == pytest.approx(numpy.cos(numpy.radians([30, 10])), abs=1e-6)


def test_fused_ranks_add_up_over_the_retrievers():
    first = GivenScores({("q", "a"): 3, ("q", "b"): 2, ("q", "c"): 1})
    second = GivenScores({("q", "c"): 3, ("q", "b"): 2, ("q", "a"): -1})
    fused = RankFusionRetriever({"one": first, "two": second, "none": None}, rank_constant=60)
    some = pool(("q", ["p"], ["a", "b", "c"]))
    # Ranks: a 1 and 4, b 2 and 2, c 3 and 1, p 4 and 3.
    assert found(fused, some) == [["c", "b", "a", "p"]]
    assert fused.search(some, 4).scores[0, :2] == pytest.approx([1 / 63 + 1 / 61, 2 / 62])


class LengthScorer:
    """Likes short documents; remembers how many pairs it read."""

    read = 0

    def score(self, pairs):
        self.read += len(pairs)
        return numpy.array([-len(document) for _, document in pairs], dtype="float32")


def test_a_scorer_orders_the_first_candidates_anew_and_scores_the_positive():
    scorer = LengthScorer()
    by_table = GivenScores({("q", "long one"): 3, ("q", "short"): 2, ("q", "positive"): 1})
    some = pool(("q", ["positive"], ["long one", "short", "x"]))
    candidates = RerankingRetriever(by_table, scorer, most=2).search(some, 10)
    assert [some.documents[place] for place in candidates.places[0]] == ["short", "long one"]
    assert candidates.scores.tolist() == [[-5, -8]]
    assert candidates.positive_scores.tolist() == [-8]
    assert scorer.read == 3


def test_random_documents_are_drawn_without_repeats():
    some = pool(("q", ["a"], ["b", "c"]), ("r", ["d"], []))
    (first, second) = found(RandomRetriever(seed=1), some)
    assert sorted(first) == sorted(second) == ["a", "b", "c", "d"]


def test_a_rule_draws_from_the_rows_of_the_category():
    rows = [("q", ["a"], ["b"]), ("r", ["c"], []), ("s", ["d"], []), ("t", ["e"], [])]
    some = pool(*rows, type=["x", "y", "x", None])
    assert [sorted(texts) for texts in found(RuleRetriever("type", seed=1), some)] == [
        ["a", "b", "d"],
        ["c"],
        ["a", "b", "d"],
        [],
    ]
    with pytest.raises(ConfigError, match=r"retriever\.column=typ is no column of the rows.*Did you mean 'type'"):
        RuleRetriever("typ", seed=1).search(some, 5)

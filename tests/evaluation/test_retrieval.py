"""Retrieval metrics: numbers one can check by hand, and those of sentence-transformers, scikit-learn and trec_eval."""

import json
import random

import numpy
import pytest
from plane_encoder import PlaneEncoder

from embexp.config.compose import compose, instantiate, resolve
from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError
from embexp.evaluation.ranking_metrics import rank_relevance
from embexp.evaluation.retrieval import retrieval_evaluator
from embexp.evaluation.scores import compare
from embexp.models.encoding import MemoryCachedEncoder, ModelEncoder
from embexp.steps.prompting import set_prompts

CUTS = {"ndcg_at": [10], "mrr_at": [10], "recall_at": [1, 2], "map_at": [100], "accuracy_at": [1], "precision_at": [2]}
OPTIONS = {"corpus": "all", "similarity": "cosine", "graded": True, "ignore_identical": False, "resamples": 50, **CUTS}
# A query at 0 degrees and documents at 10, 20, 30 ... degrees: d1 is the nearest, d2 the next one.
ANGLES = {"q": 0, "r": 44} | {f"d{number}": 10 * number for number in range(1, 9)}
RANKED = {
    "query": ["q", "r", "q"],
    "positives": [["d1"], ["d4"], ["d3"]],
    "negatives": [["d2"], [], ["d5", "d8"]],
}


def evaluator_of(rows, shape="ranked", others=None, **options):
    dataset = dataset_of("toy", shape, {**(others or {}), "test": rows})
    return retrieval_evaluator("retrieval", dataset, **OPTIONS | options)


def test_rows_with_one_query_are_one_example():
    scores = evaluator_of(RANKED).score(PlaneEncoder(ANGLES), "test")
    assert scores.examples["query"] == ["q", "r"]
    assert scores.examples["num_relevant"].tolist() == [2, 1]
    assert scores.examples["relevant_document"] == ["d1", "d4"]


def test_metrics_in_the_plane():
    scores = evaluator_of(RANKED).score(PlaneEncoder(ANGLES), "test")
    # q finds d1, d2, d3: its own are the first and the third; r finds d4 first.
    second = 1 / numpy.log2(3)
    expected = {
        "ndcg_at_10": [(1 + 0.5) / (1 + second), 1],
        "mrr_at_10": [1, 1],
        "recall_at_1": [0.5, 1],
        "recall_at_2": [0.5, 1],
        "map_at_100": [(1 + 2 / 3) / 2, 1],
        "accuracy_at_1": [1, 1],
        "precision_at_2": [0.5, 0.5],
    }
    assert {key: scores.predicted[key].tolist() for key in expected} == {
        key: pytest.approx(values) for key, values in expected.items()
    }
    assert scores.metrics == pytest.approx({key: numpy.mean(values) for key, values in expected.items()})


def test_the_order_of_documents_as_near_as_each_other_does_not_depend_on_the_rows():
    angles = {"q": 0, "d1": 20, "d2": -20, "d3": 20}
    ranks = {}
    for positive in ("d1", "d2", "d3"):
        rows = {"query": ["q"], "positives": [[positive]], "negatives": [[*{"d1", "d2", "d3"} - {positive}]]}
        ranks[positive] = evaluator_of(rows).score(PlaneEncoder(angles), "test").predicted["first_rank"][0]
        corpus = {"query": ["x"], "positives": [["d3"]], "negatives": [["d1"]]}
        later = evaluator_of(rows, others={"train": corpus}).score(PlaneEncoder(angles | {"x": 0}), "test")
        assert later.predicted["first_rank"][0] == ranks[positive]
    assert sorted(ranks.values()) == [1, 2, 3]


@pytest.mark.parametrize("point", [0.3, 0.0], ids=["one point", "zeros"])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_ties_do_not_help_a_model_that_collapsed(point, similarity):
    class Collapsed:
        def encode(self, texts, prompt=None):
            return numpy.full((len(texts), 4), point, dtype="float32")

    documents = {f"q{number}": [f"{number} {place}" for place in range(40)] for number in range(200)}
    rows = {
        "query": [*documents],
        "positives": [texts[:1] for texts in documents.values()],
        "negatives": [texts[1:] for texts in documents.values()],
    }
    scores = evaluator_of(rows, corpus="split", similarity=similarity).score(Collapsed(), "test")
    assert scores.metrics["recall_at_1"] <= 1 / 200  # 8,000 documents, of which all queries find the same ones


def test_an_identical_document_is_left_out_among_equal_ones():
    rows = {"query": ["d2", "d3"], "positives": [["d1"], ["d1"]], "negatives": [["d2", "d3"], ["d2", "d3"]]}
    angles = {"d1": 0, "d2": 0, "d3": 0}
    scores = evaluator_of(rows, ignore_identical=True).score(PlaneEncoder(angles), "test")
    assert scores.predicted["top_document"][0] != "d2"
    assert scores.predicted["top_document"][1] != "d3"


@pytest.mark.parametrize(
    ("corpus", "documents"), [("split", ["d1", "d2"]), ("all", ["d7", "d8", "d1", "d2"])], ids=["split", "all"]
)
def test_the_corpus_is_that_of_the_split_or_of_all(corpus, documents):
    rows = {"query": ["q"], "positives": [["d1"]], "negatives": [["d2"]]}
    train = {"query": ["r"], "positives": [["d7"]], "negatives": [["d8"]]}
    evaluator = evaluator_of(rows, others={"train": train}, corpus=corpus)
    assert evaluator.texts("test") == {None: ["q", *documents]}


def test_the_corpus_of_a_file_is_searched_with_what_it_lacks(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("d3\nd1\nd3\n")
    evaluator = evaluator_of({"query": ["q"], "positives": [["d1"]], "negatives": [["d2"]]}, corpus=str(path))
    assert evaluator.texts("test") == {None: ["q", "d3", "d1", "d2"]}


def test_empty_documents_of_a_file_are_not_searched(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"_id": "a", "text": "d3"}\n{"_id": "b", "text": ""}\n')
    evaluator = evaluator_of({"query": ["q"], "positives": [["d1"]], "negatives": [[]]}, corpus=str(path))
    assert evaluator.texts("test") == {None: ["q", "d3", "d1"]}


def test_pairs_are_queries_with_one_document_each():
    pairs = {"anchor": ["q", "r", "q"], "positive": ["d1", "d4", "d3"]}
    ours = evaluator_of(pairs, "positive_pair").score(PlaneEncoder(ANGLES), "test")
    ranked = RANKED | {"negatives": [[], [], []]}
    assert ours.metrics == evaluator_of(ranked).score(PlaneEncoder(ANGLES), "test").metrics


def test_queries_and_documents_are_encoded_after_their_own_prompts():
    dataset = set_prompts(
        dataset_of("toy", "positive_pair", {"test": {"anchor": ["q"], "positive": ["d1"]}}),
        {"ask": "Q: ", "tell": "D: "},
        columns={"anchor": "ask", "positive": "tell"},
    )
    encoder = PlaneEncoder(ANGLES)
    retrieval_evaluator("retrieval", dataset, **OPTIONS).score(encoder, "test")
    assert encoder.calls == [(["q"], "Q: "), (["d1"], "D: ")]


def test_a_document_that_is_the_query_can_be_ignored():
    rows = {"query": ["q"], "positives": [["q", "d2"]], "negatives": [["d1"]]}
    assert evaluator_of(rows).score(PlaneEncoder(ANGLES), "test").metrics["recall_at_2"] == 0.5  # q, d1
    ignoring = evaluator_of(rows, ignore_identical=True).score(PlaneEncoder(ANGLES), "test")
    assert ignoring.metrics["recall_at_2"] == 1  # d1, d2
    assert ignoring.examples["num_relevant"].tolist() == [1]


def test_queries_without_a_positive_are_no_examples():
    rows = {"query": ["q", "r"], "positives": [[], ["d4"]], "negatives": [["d1"], []]}
    evaluator = evaluator_of(rows)
    assert list(evaluator.task.example_of(evaluator.dataset.splits["test"])) == [-1, 0]
    assert evaluator.score(PlaneEncoder(ANGLES), "test").examples["query"] == ["r"]
    with pytest.raises(DataError, match="No query of toy/test has a positive"):
        evaluator_of({"query": ["q"], "positives": [[]], "negatives": [["d1"]]})


def test_positives_are_the_queries_with_each_of_their_documents():
    positives = evaluator_of(RANKED).positives("test")
    assert list(zip(positives.first, positives.second, strict=True)) == [("q", "d1"), ("q", "d3"), ("r", "d4")]


def test_queries_seen_in_training_are_left_out_of_a_second_metric():
    rows = {"query": ["q", "r", "q"], "positives": [["d2"], ["d4"], ["d3"]], "negatives": [["d1"], [], []]}
    evaluator = evaluator_of(rows, leaked={"test": numpy.array([False, False, True])})
    metrics = evaluator.score(PlaneEncoder(ANGLES), "test").metrics
    assert metrics["mrr_at_10"] == 0.75
    assert metrics["mrr_at_10_no_leaks"] == 1
    assert evaluator.headline_metrics == ("ndcg_at_10", "mrr_at_10", "recall_at_1", "ndcg_at_10_no_leaks")


def test_each_query_tells_what_it_found():
    predicted = evaluator_of(RANKED).score(PlaneEncoder(ANGLES), "test").predicted
    assert predicted["first_rank"].tolist() == [1, 1]
    assert list(predicted["top_document"]) == ["d1", "d4"]


def test_other_forms_of_the_embeddings_are_searched_too():
    evaluator = evaluator_of(RANKED, precisions=["binary"])
    metrics = evaluator.score(PlaneEncoder(ANGLES), "test").metrics
    assert set(evaluator.metric_names) == set(metrics)
    assert metrics["recall_at_1_binary"] == pytest.approx(0.25)  # all documents of one quadrant are equal: d1 first


def test_two_models_are_compared_over_their_queries():
    rows = {"query": [f"q{n}" for n in range(20)], "positives": [[f"d{n}"] for n in range(20)], "negatives": [[]] * 20}
    right = {f"q{n}": 9 * n for n in range(20)} | {f"d{n}": 9 * n for n in range(20)}
    wrong = right | {f"q{n}": 9 * n + 9 for n in range(20)}
    evaluator = evaluator_of(rows)
    base, trained = (evaluator.score(PlaneEncoder(angles), "test") for angles in (wrong, right))
    differences = {each.metric: each for each in compare(base, trained, 200)}
    assert set(differences) == set(evaluator.metric_names)
    assert differences["accuracy_at_1"].value == pytest.approx(0.95)
    assert differences["accuracy_at_1"].verdict == "better"


def tiny_model(texts, folder):
    import torch

    from embexp.models.scratch import ScratchModel

    torch.manual_seed(1)
    return ScratchModel(2, 32, 2, vocabulary_size=200, max_seq_length=16).load(lambda: texts, folder)


def drawn_rows(draw, texts, queries=60):
    """Ranked rows with 1 to 5 positives and 0 to 3 negatives, and grades from 1 to 3."""
    rows = {"query": texts[:queries], "positives": [], "negatives": [], "positive_scores": []}
    for _ in range(queries):
        found = draw.sample(texts[queries:], draw.randint(1, 5) + draw.randint(0, 3))
        number = draw.randint(1, min(5, len(found)))
        rows["positives"].append(found[:number])
        rows["negatives"].append(found[number:])
        rows["positive_scores"].append([float(draw.randint(1, 3)) for _ in range(number)])
    return rows


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Rows, the documents in the order in which they are searched, and a tiny model."""
    draw = random.Random(1)
    words = [f"{start}{end}" for start in ("ba", "ke", "mi", "so", "tu") for end in ("nk", "rt", "ll", "sh", "pe")]
    texts = [*dict.fromkeys(" ".join(draw.choices(words, k=draw.randint(2, 8))) for _ in range(320))]
    rows = drawn_rows(draw, texts)
    order = [text for pair in zip(rows["positives"], rows["negatives"], strict=True) for part in pair for text in part]
    return rows, [*dict.fromkeys(order)], tiny_model(texts, tmp_path_factory.mktemp("tiny"))


def test_all_metrics_equal_those_of_sentence_transformers(drawn):
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    rows, documents, model = drawn
    number = {text: f"{place:04}" for place, text in enumerate(documents)}
    cuts = [1, 3, 5, 10, 100]
    theirs = InformationRetrievalEvaluator(
        {f"q{place}": query for place, query in enumerate(rows["query"])},
        {id: text for text, id in number.items()},
        {f"q{place}": {number[text] for text in each} for place, each in enumerate(rows["positives"])},
        mrr_at_k=cuts,
        ndcg_at_k=cuts,
        accuracy_at_k=cuts,
        precision_recall_at_k=cuts,
        map_at_k=cuts,
        write_csv=False,
    )(model)
    evaluator = evaluator_of(rows, graded=False, **dict.fromkeys(CUTS, cuts))
    ours = evaluator.score(ModelEncoder(model), "test").metrics
    assert len(ours) == 30
    named = {metric: theirs[f"cosine_{metric.replace('_at_', '@')}"] for metric in ours}
    assert ours == pytest.approx(named, abs=1e-6)
    assert 0.02 < ours["mrr_at_10"] < 0.98


def test_the_inner_product_gives_the_metrics_of_sentence_transformers(drawn):
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
    from sentence_transformers.util import dot_score

    rows, documents, model = drawn
    number = {text: f"{place:04}" for place, text in enumerate(documents)}
    theirs = InformationRetrievalEvaluator(
        {f"q{place}": query for place, query in enumerate(rows["query"])},
        {id: text for text, id in number.items()},
        {f"q{place}": {number[text] for text in each} for place, each in enumerate(rows["positives"])},
        score_functions={"dot": dot_score},
        write_csv=False,
    )(model)
    ours = evaluator_of(rows, graded=False, similarity="dot").score(ModelEncoder(model), "test").metrics
    assert ours["ndcg_at_10"] == pytest.approx(theirs["dot_ndcg@10"], abs=1e-6)
    assert ours["map_at_100"] == pytest.approx(theirs["dot_map@100"], abs=1e-6)


def units(vectors):
    return vectors.astype(float) / numpy.linalg.norm(vectors, axis=1, keepdims=True)


def grades_and_scores(drawn):
    """The grade and the score of every document for every query, `(queries, documents)` each."""
    rows, documents, model = drawn
    grades = numpy.zeros((len(rows["query"]), len(documents)))
    place = {text: place for place, text in enumerate(documents)}
    for query, (texts, each) in enumerate(zip(rows["positives"], rows["positive_scores"], strict=True)):
        grades[query, [place[text] for text in texts]] = each
    queries, found = model.encode(rows["query"]), model.encode(documents)
    return grades, units(queries) @ units(found).T


def test_graded_ndcg_equals_that_of_scikit_learn(drawn):
    from sklearn.metrics import ndcg_score

    grades, scores = grades_and_scores(drawn)
    evaluator = evaluator_of(drawn[0], ndcg_at=[1, 5, 10])
    ours = evaluator.score(ModelEncoder(drawn[2]), "test").metrics
    for cut in (1, 5, 10):
        assert ours[f"ndcg_at_{cut}"] == pytest.approx(ndcg_score(grades, scores, k=cut), abs=1e-6)
    binary = evaluator_of(drawn[0], graded=False).score(ModelEncoder(drawn[2]), "test").metrics
    assert abs(binary["ndcg_at_10"] - ours["ndcg_at_10"]) > 1e-4


def test_graded_metrics_equal_those_of_trec_eval(drawn):
    pytrec_eval = pytest.importorskip("pytrec_eval")

    grades, scores = grades_and_scores(drawn)
    judged = {f"q{q}": {f"d{d}": int(grades[q, d]) for d in numpy.flatnonzero(grades[q])} for q in range(len(grades))}
    found = {f"q{q}": {f"d{d}": float(score) for d, score in enumerate(row)} for q, row in enumerate(scores)}
    measures = {"ndcg_cut.10", "recall.1,2", "P.2", "recip_rank"}
    per_query = pytrec_eval.RelevanceEvaluator(judged, measures).evaluate(found)
    ours = evaluator_of(drawn[0], mrr_at=[1000]).score(ModelEncoder(drawn[2]), "test").metrics
    names = {
        "ndcg_at_10": "ndcg_cut_10",
        "recall_at_1": "recall_1",
        "precision_at_2": "P_2",
        "mrr_at_1000": "recip_rank",
    }
    for metric, theirs in names.items():
        assert ours[metric] == pytest.approx(numpy.mean([each[theirs] for each in per_query.values()]), abs=1e-6)


def test_where_fewer_documents_are_found_than_looked_for_the_rest_is_no_hit():
    places = numpy.array([[1, -1], [0, -1], [1, -1]])
    hits = rank_relevance(places, [{0: 1.0}, {1: 2.0}, {1: 1.0}], num_documents=2)
    assert hits.gains.tolist() == [[0, 0], [0, 0], [1, 0]]


def test_scores_that_are_no_grades_are_refused():
    rows = RANKED | {"positive_scores": [[0.7], [-1.5], [2.0]]}
    with pytest.raises(
        DataError, match=r"of toy/test hold -1\.5\.(.|\n)*hint: type evaluator\.retrieval\.graded=false"
    ):
        evaluator_of(rows)
    assert evaluator_of(rows, graded=False).score(PlaneEncoder(ANGLES), "test").metrics["recall_at_1"] == 0.75


def test_a_document_given_twice_has_its_higher_grade():
    rows = {"query": ["q", "q", "q"], "positives": [["d1", "d2"], ["d2"], ["d2"]], "negatives": [[], [], []]}
    rows["positive_scores"] = [[1.0, 1.0], [3.0], [2.0]]
    scores = evaluator_of(rows).score(PlaneEncoder(ANGLES), "test")
    second = 1 / numpy.log2(3)
    assert scores.metrics["ndcg_at_10"] == pytest.approx((1 + 3 * second) / (3 + second))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"similarity": "manhattan"},
            r"evaluator.retrieval.similarity=manhattan was given\. Expected one of: cosine, dot",
        ),
        ({"corpus": "al"}, r"corpus=al is no file\. Expected all .*, split .*Did you mean 'all'"),
        (
            {"ndcg_at": [0, 10], "recall_at": [1.5]},
            r"ndcg_at=\[0,10\] was given\. Expected .* whole number of at least 1(.|\n)*recall_at=\[1\.5\] was",
        ),
        ({key: [] for key in CUTS}, "has no metric. Expected a number in at least one of: ndcg_at, mrr_at"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        evaluator_of(RANKED, **options)


def test_without_ndcg_another_metric_is_the_primary_one():
    others = {kind: [] for kind in CUTS}
    assert evaluator_of(RANKED, **others | {"recall_at": [3, 1]}).primary_metric == "recall_at_3"
    assert evaluator_of(RANKED, **others | {"precision_at": [3]}).primary_metric == "precision_at_3"


def built(name, *overrides):
    """The evaluator of that name as a run builds it."""
    from embexp.errors import Problems
    from embexp.experiment.datasets import builder_of
    from embexp.experiment.evaluators import plan_evaluators

    config = resolve(compose([f"evaluator=[{name}]", "paths.cache=null", *overrides]))
    problems = Problems()
    evaluators = plan_evaluators(config, "data", [], builder_of(config), problems)[0]
    problems.raise_if_any()
    return evaluators[0]


def test_a_run_builds_it_from_the_bundled_corpus():
    evaluator = built("retrieval")
    assert evaluator.splits == ("dev", "test")
    assert evaluator.headline_metrics == ("ndcg_at_10", "mrr_at_10", "recall_at_10")


def test_a_benchmark_in_the_form_of_beir_is_searched_in_its_whole_corpus(tmp_path):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "queries.jsonl").write_text('{"_id": "1", "text": "q"}\n')
    documents = [{"_id": f"d{n}", "title": "The", "text": f"document {n}"} for n in range(4)]
    (tmp_path / "corpus.jsonl").write_text("".join(f"{json.dumps(document)}\n" for document in documents))
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\td2\t2\n1\td0\t1\n")
    evaluator = built("beir", f"evaluator.beir.dataset.reader.folder={tmp_path}")
    assert evaluator.splits == ("test",)
    assert evaluator.texts("test") == {None: ["q", *(f"The document {n}" for n in range(4))]}
    angles = {"q": 0} | {f"The document {n}": 10 * n for n in range(4)}
    metrics = evaluator.score(PlaneEncoder(angles), "test").metrics
    assert metrics["ndcg_at_10"] == pytest.approx((1 + 2 / 2) / (2 + 1 / numpy.log2(3)))  # grades 1, 0, 2, 0


@pytest.mark.slow
def test_static_vectors_find_the_contexts_of_financial_questions(real_data):
    overrides = (f"paths.data={real_data}", "dataset=financial_qa")
    evaluator = built("retrieval", *overrides)
    model = instantiate(resolve(compose(["model=static"]))["model"]).load(list, None)
    memory = MemoryCachedEncoder(ModelEncoder(model))  # encodes the contexts once, for both
    metrics = evaluator.score(memory, "test").metrics
    rows = evaluator.dataset.splits
    contexts = [*dict.fromkeys(text for split in rows.values() for text in split["positive"][:])]
    relevant = {}
    for question, context in zip(rows["test"]["anchor"][:], rows["test"]["positive"][:], strict=True):
        relevant.setdefault(question, set()).add(context)
    vectors, queries = (units(memory.encode(texts)) for texts in (contexts, [*relevant]))
    ranks, ndcgs = [], []
    for question, query in zip(relevant, queries, strict=True):
        order = [contexts[place] for place in numpy.argsort(-(vectors @ query), kind="stable")]
        found = sorted(order.index(context) + 1 for context in relevant[question])
        ranks.append(found[0])
        best = sum(1 / numpy.log2(place + 2) for place in range(min(10, len(found))))
        ndcgs.append(sum(1 / numpy.log2(rank + 1) for rank in found if rank <= 10) / best)
    assert len(contexts) > 5000
    assert metrics["ndcg_at_10"] == pytest.approx(numpy.mean(ndcgs), abs=1e-6)
    assert metrics["mrr_at_10"] == pytest.approx(numpy.mean([(rank <= 10) / rank for rank in ranks]), abs=1e-6)
    assert metrics["accuracy_at_1"] == pytest.approx(numpy.mean([rank == 1 for rank in ranks]), abs=1e-6)

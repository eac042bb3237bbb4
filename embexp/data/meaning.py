"""What a column seems to mean: by its name, in English and Chinese, and by what is in it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from embexp.data.cells import as_list, number_in

# Usual names of two texts that go together (without capitals, blanks and signs), the query first.
PAIRS = (
    *(("anchor", "positive"), ("query", "positive"), ("query", "pos"), ("question", "answer"), ("query", "answer")),
    *(("q", "a"), ("query", "passage"), ("query", "document"), ("query", "doc"), ("query", "text")),
    *(("query", "response"), ("question", "context"), ("question", "passage"), ("question", "response")),
    *(("instruction", "output"), ("prompt", "response"), ("prompt", "completion"), ("input", "output")),
    *(("title", "body"), ("title", "content"), ("title", "abstract"), ("title", "text"), ("source", "target")),
    *(
        ("src", "tgt"),
        ("sourcetext", "targettext"),
        ("text", "summary"),
        ("article", "summary"),
        ("document", "summary"),
        ("claim", "evidence"),
    ),
    *(("premise", "hypothesis"), ("question1", "question2"), ("sentence1", "sentence2"), ("sent0", "sent1")),
    *(("sent1", "sent2"), ("s1", "s2"), ("q1", "q2"), ("text1", "text2"), ("texta", "textb")),
    *(("sentencea", "sentenceb"), ("senta", "sentb"), ("t1", "t2"), ("a", "b"), ("left", "right")),
    *(("string1", "string2"), ("phrase1", "phrase2"), ("firstsentence", "secondsentence"), ("sent", "paraphrase")),
    *(("问题", "答案"), ("问题", "回答"), ("问", "答"), ("提问", "回答"), ("问句", "答句"), ("查询", "文档")),
    *(("查询", "正例"), ("标题", "内容"), ("标题", "正文"), ("标题", "摘要"), ("前提", "假设"), ("问题1", "问题2")),
    *(("句子1", "句子2"), ("文本1", "文本2"), ("句子一", "句子二"), ("文本一", "文本二"), ("句子a", "句子b")),
    *(("原句", "改写"), ("标准问", "相似问"), ("输入", "输出")),
)
UNRELATED = (("premise", "hypothesis"), ("前提", "假设"))  # those of which not all belong together
_ASKED = ("question", "query", "q", "问题", "问", "提问", "问句", "查询", "标准问")
TEXTS = ("text", "sentence", "content", "body", "document", "review", "文本", "句子", "内容", "正文", "评论")
# Parts of names (without capitals, blanks and signs) and the column of a shape that they stand for; "" for none.
_PARTS = {
    "split": "",
    "划分": "",
    "negative": "negative_1",
    "hardneg": "negative_1",
    "distractor": "negative_1",
    "负样本": "negative_1",
    "负例": "negative_1",
    "反例": "negative_1",
    "similarity": "score",
    "score": "score",
    "rating": "score",
    "相似度": "score",
    "相关度": "score",
    "得分": "score",
    "分数": "score",
    "评分": "score",
    "打分": "score",
    "label": "label",
    "categor": "label",
    "class": "label",
    "duplicate": "label",
    "paraphrase": "label",
    "entailment": "label",
    "relevan": "label",
    "intent": "label",
    "sentiment": "label",
    "标签": "label",
    "标注": "label",
    "类别": "label",
    "分类": "label",
    "意图": "label",
    "情感": "label",
    "是否": "label",
    "相似": "label",
    "相关": "label",
    "重复": "label",
}
# Whole words of a name.
_WORDS = {"neg": "negative_1", "negs": "negative_1", "sim": "score", "grade": "score", "weight": ""}
_WORDS |= dict.fromkeys(("gold", "target", "same", "match", "dup", "topic", "y", "类", "类型"), "label")
# Words of a name whose values are not for training, whatever they look like.
_NEUTRAL = {"id", "ids", "idx", "index", "uuid", "guid", "qid", "pid", "docid", "url", "link", "source", "src", "date"}
_NEUTRAL |= {"time", "timestamp", "created", "updated", "page", "line", "row", "no", "file", "filename", "path"}
_NEUTRAL |= {"lang", "language", "author", "user", "username", "email", "version", "unnamed"}
_NEUTRAL |= {"编号", "序号", "行号", "网址", "链接", "来源", "日期", "时间", "页码", "作者", "语言", "文件", "文件名"}
_MOST_CLASSES = 20
_TRUTHS = {"0", "1", "true", "false", "yes", "no", "y", "n", "是", "否", "0.0", "1.0"}
_RANGES = ((0, 1), (-1, 1), (0, 5), (0, 10), (0, 100))  # usual ones of scores


def plain_name(name: str) -> str:
    """A column's name without capitals, blanks and signs.

    >>> plain_name(" Sentence 1"), plain_name("hard-neg"), plain_name("标签 ")
    ('sentence1', 'hardneg', '标签')
    """
    return re.sub(r"[\W_]+", "", name).casefold()


def _words_in(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[\W_]+", spaced.casefold()) if word]


def _is_sentence(name: str) -> bool:
    return len(_words_in(name)) > 4 or len(plain_name(name)) > 40


def is_neutral(name: str) -> bool:
    """Whether a name is that of an id, a place or a date.

    >>> [name for name in ("pairID", "doc_id", "hidden", "source url", "编号", "label_id") if is_neutral(name)]
    ['pairID', 'doc_id', 'source url', '编号']
    >>> is_neutral("no time to read this page")
    False
    """
    return (
        role_by_name(name) is None
        and not _is_sentence(name)
        and any(word.rstrip("0123456789") in _NEUTRAL for word in _words_in(name))
    )


def role_by_name(name: str) -> str | None:
    """The column of a shape that a name stands for ("" when none does); None for a name without a meaning.

    >>> [role_by_name(name) for name in ("Coarse_Label", "split", "ticker", "hard_neg", "is_duplicate", "相似度")]
    ['label', '', None, 'negative_1', 'label', 'score']
    """
    if _is_sentence(name):
        return None
    plain, words = plain_name(name), _words_in(name)
    by_part = next((role for part, role in _PARTS.items() if part in plain), None)
    if by_part is not None:
        return by_part
    if words and words[0] in ("is", "has") and len(words) > 1 and name.count(" ") < 2:
        return "label"
    return next((_WORDS[word] for word in words if word in _WORDS), None) if name.count(" ") < 2 else None


def filled(values: Sequence[Any]) -> list[Any]:
    """The values that are there."""
    return [value for value in values if value is not None and value == value and value != "" and value != []]


def meaning_of(name: str, values: Sequence[Any], text_length: float) -> str | None:
    """The column of a shape that a column may be ("" when none is likely); None where it has no meaning.

    Args:
        values: some of its values.
        text_length: how many characters the texts of the data have on average.
    """
    values = filled(values)
    if not values:
        return None
    by_name = role_by_name(name)
    if by_name == "score" and _distinct(values) <= _TRUTHS:
        return "label"
    if by_name is not None:
        return "score" if by_name == "label" and is_bounded_fraction(values) else by_name
    if is_neutral(name):
        return None
    if any(as_list(value) is not None for value in values[:50]):
        return ""
    if any(isinstance(value, Mapping) for value in values[:50]):
        return None
    distinct = _distinct(values)
    if len(distinct) < 2:
        return None
    if distinct <= _TRUTHS or (len(distinct) <= _MOST_CLASSES and len(values) >= 2 * len(distinct)):
        return "label"
    if is_bounded_fraction(values):
        return "score"
    return "" if _are_texts(values, distinct, text_length) else None


def are_truths(values: Sequence[Any]) -> bool:
    """Whether all values say yes or no, in words or numbers."""
    return _distinct(filled(values)) <= _TRUTHS


def is_asked(name: str) -> bool:
    """Whether a column holds what is answered, so that a class next to it tells nothing of the pair."""
    return plain_name(name) in _ASKED


def _distinct(values: Sequence[Any]) -> set[str]:
    return {str(value).strip().casefold() for value in values}


def is_bounded_fraction(values: Sequence[Any]) -> bool:
    """Whether values are numbers, some with a fraction, within a usual range of scores."""
    numbers = [number_in(value) for value in values]
    if None in numbers or all(float(number).is_integer() for number in numbers):
        return False
    return any(low <= min(numbers) and max(numbers) <= high for low, high in _RANGES)


def are_worded(values: Sequence[Any]) -> bool:
    """Whether most of the values are texts of several words, or of several Chinese characters."""
    values = filled(values)
    worded = [
        value for value in values if isinstance(value, str) and re.search(r"\w\S*\s+\S*\w|[^\x00-\u2fff]{4}", value)
    ]
    return bool(values) and 2 * len(worded) >= len(values) and not all(number_in(value) is not None for value in worded)


def mean_length(values: Sequence[Any]) -> float:
    """How many characters the values have on average as text."""
    lengths = [len(str(value)) for value in filled(values)]
    return sum(lengths) / len(lengths) if lengths else 0.0


def _are_texts(values: Sequence[Any], distinct: set[str], text_length: float) -> bool:
    long = 2 * mean_length(values) >= text_length
    return are_worded(values) and long and 2 * len(distinct) >= len(values)

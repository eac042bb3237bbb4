"""The example files of the quickstart, made of the bundled finance corpus: `python examples/make.py`."""

import csv
import io
import json
from pathlib import Path

FOLDER = Path(__file__).parent
CORPUS = FOLDER.parent / "embexp" / "data" / "corpus"


def concepts(language: str) -> list[dict]:
    """The concepts of the corpus: questions and answers by intent, similar concepts, an NLI triple, graded pairs."""
    lines = (CORPUS / f"finance_{language}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def questions(rows: list[dict]) -> list[tuple[dict, str, str]]:
    """Each question with its concept and its intent (definition, use, risk)."""
    return [(row, intent, text) for row in rows for intent, texts in row["questions"].items() for text in texts]


def mined(rows: list[dict]) -> str:
    """A JSON object a line: a question of each intent, its answer, and what similar concepts answer to the same."""
    answers = {row["concept"]: row["answers"] for row in rows}
    objects = (
        {
            "query": text,
            "positive": row["answers"][intent][0],
            "negatives": [answers[other][intent][0] for other in row["lookalikes"] if other in answers],
        }
        for row in rows
        for intent, (text, *_) in row["questions"].items()
    )
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in objects if each["negatives"])


def faq(header: list[str], rows: list[dict]) -> str:
    """Questions with their answers."""
    return table(header, ((text, row["answers"][intent][0]) for row, intent, text in questions(rows)))


def graded(header: list[str], rows: list[dict]) -> str:
    """Pairs of sentences that a person graded from 0 to 5."""
    return table(
        header, ([pair[key] for key in ("sentence1", "sentence2", "score")] for row in rows for pair in row["pairs"])
    )


def table(header: list[str], rows) -> str:
    """CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def files() -> dict[str, str]:
    """The text of each file by its name."""
    english, chinese = concepts("en"), concepts("zh")
    categories = ((text, intent) for _, intent, text in questions(english))
    sentences = (row["nli"][part] for row in english for part in ("premise", "entailment", "neutral"))
    return {
        "faq.csv": faq(["question", "answer"], english),
        "graded.csv": graded(["text1", "text2", "grade"], english),
        "tickets.csv": table(["text", "category"], categories),
        "mined.jsonl": mined(english),
        "texts.txt": "".join(f"{sentence}\n" for sentence in sentences),
        "faq_zh.csv": faq(["问题", "答案"], chinese),
        "graded_zh.csv": graded(["句子1", "句子2", "相似度"], chinese),
    }


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")

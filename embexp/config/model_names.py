"""Models by the names that tutorials type, without their owners on the Hugging Face Hub."""

import re

from embexp.config.session import option_files

# Owners on the Hub of models that tutorials name without them, by how the names begin.
_OWNERS = {
    r"(all|multi-qa|paraphrase|msmarco|distiluse|stsb|nli|gtr|sentence-t5|average_word_embeddings|static)-|LaBSE$": (
        "sentence-transformers"
    ),
    r"bert-(base|large)-": "google-bert",
    r"distil(bert|roberta)-": "distilbert",
    r"(xlm-)?roberta-(base|large)": "FacebookAI",
    r"albert-(base|large|xlarge|xxlarge)-": "albert",
    r"bge-": "BAAI",
    r"(multilingual-)?e5-": "intfloat",
    r"gte-(small|base|large)": "thenlper",
    r"chinese-(bert|roberta|macbert|electra|lert)-": "hfl",
    r"m3e-": "moka-ai",
    r"text2vec-": "shibing624",
    r"mxbai-": "mixedbread-ai",
    r"nomic-embed-": "nomic-ai",
    r"jina-(embeddings|clip)-": "jinaai",
    r"Qwen3-Embedding-": "Qwen",
    r"snowflake-arctic-embed": "Snowflake",
    r"embeddinggemma-": "google",
    r"potion-": "minishlab",
    r"ModernBERT-": "answerdotai",
    r"mpnet-base$|MiniLM-L12-H384-uncased$": "microsoft",
}


def known_model(name: str) -> str | None:
    """The option or Hub id that a name without an owner stands for, as tutorials type it; None where it is not known.

    >>> known_model("all-MiniLM-L6-v2"), known_model("bert-large-uncased"), known_model("my-model")
    ('minilm', 'google-bert/bert-large-uncased', None)
    """
    for option, path in option_files("model").items():
        found = re.search(r"^id: *[^/\s]+/(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        if found and found[1].lower() == name.lower():
            return option
    owner = next((owner for start, owner in _OWNERS.items() if re.match(start, name, re.IGNORECASE)), None)
    return f"{owner}/{name}" if owner and re.fullmatch(r"[\w.-]+", name) else None

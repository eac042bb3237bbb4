"""Writing a trained model so that plain sentence-transformers loads it again to the same embeddings."""

from pathlib import Path
from typing import TYPE_CHECKING

from embexp.models.adapters import merge_adapter

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def save_model(model: "SentenceTransformer", path: Path, merges_adapter: bool = False) -> None:
    """Write the model as `SentenceTransformer(path)` reads it.

    Args:
        merges_adapter: merge an adapter into the model before, in place (`BaseModel.merges_adapter`); otherwise only
            the adapter is written, with the place of its base model.
    """
    if merges_adapter:
        merge_adapter(model)
    model.save_pretrained(str(path))

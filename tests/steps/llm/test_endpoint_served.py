"""A real server, `transformers serve`, with a tiny model that has learnt one answer by heart."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_endpoint import endpoint_of, requests_for

from embexp.steps.llm.batch import request_all

ANSWER = '{"texts": ["learnt by heart"]}'


@pytest.fixture
def model(tmp_path) -> Path:
    """A one-layer Llama that reads bytes, trained until it says nothing but the answer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "</s>"]
    bytes_alone = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(alphabet)}, merges=[]))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_alone, eos_token="</s>", pad_token="</s>")
    tokenizer.chat_template = "Say: "  # whatever is asked
    torch.manual_seed(0)
    end = len(alphabet) - 1
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    toy = LlamaForCausalLM(
        LlamaConfig(vocab_size=end + 1, eos_token_id=end, pad_token_id=end, bos_token_id=end, **sizes)
    )
    lesson = torch.tensor([[*tokenizer(f"Say: {ANSWER}")["input_ids"], end]])
    optimizer = torch.optim.Adam(toy.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        toy(input_ids=lesson, labels=lesson).loss.backward()
        optimizer.step()
    toy.save_pretrained(tmp_path / "toy")
    tokenizer.save_pretrained(tmp_path / "toy")
    return tmp_path / "toy"


@pytest.fixture
def url(model, tmp_path):
    """Where the model is served."""
    from transformers.utils.import_utils import is_serve_available

    if not is_serve_available():
        pytest.skip("transformers[serving] is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(model), "--device", "cpu"]
    with open(tmp_path / "log", "wb") as log:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log, env=os.environ
        )
        try:
            wait_for(server, port)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.kill()
            server.wait()


def wait_for(server, port):
    for _ in range(600):
        assert server.poll() is None
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError


@pytest.mark.slow
def test_a_real_server_is_spoken_to(url, model, tmp_path):
    endpoint = endpoint_of(url, model=str(model), timeout=60, parameters={"max_tokens": 100, "seed": 42}, concurrency=1)
    done = request_all(endpoint, requests_for("a", "b"), "toys", tmp_path / "cache")
    assert done.texts == [["learnt by heart"]] * 2
    # It counts bytes: "Say: " is read, the answer and its end are written.
    written = 2 * (len(ANSWER) + 1)
    assert done.took.startswith("2 answers of ")
    assert done.took.endswith(f", 10 tokens read, {written} written")

"""Translation by a sequence-to-sequence model of transformers, of one pair of languages or of many."""

from collections.abc import Sequence
from typing import Any

from embexp.core.environment import lack_of
from embexp.data.arrow import with_progress
from embexp.errors import ModelError
from embexp.models.weights import find_weights


class Seq2SeqTranslator:
    """A Translator by any model that AutoModelForSeq2SeqLM reads, loaded at the first use.

    Args:
        path: a folder or a Hub id, such as Helsinki-NLP/opus-mt-en-zh.
        source_language, target_language: codes as the model knows them (en and zh for M2M100, eng_Latn and zho_Hans for
            NLLB), for models of many languages; None for models of one pair.
        prefix: goes before each text, for models that take their task in words, as T5 does.
        batch_size: texts that are translated at a time, of similar length.
        max_tokens: longer texts are cut, and longer translations end there.
        num_beams: of beam search; 1: the likeliest token at each position.
        temperature: of the sampling of tokens; None does not sample.

    Raises:
        ModelError: a folder that is not there or holds no model.
    """

    def __init__(
        self,
        path: str,
        source_language: str | None,
        target_language: str | None,
        prefix: str,
        batch_size: int,
        max_tokens: int,
        num_beams: int,
        temperature: float | None,
    ) -> None:
        self.path, self.prefix, self.batch_size, self.max_tokens = path, prefix, batch_size, max_tokens
        self.languages = source_language, target_language
        sampling = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
        self.options: dict[str, Any] = {"max_new_tokens": max_tokens, "num_beams": num_beams, **sampling}
        self.place = find_weights(None, path, None, None, None)
        self._model: Any = None
        self._tokenizer: Any = None

    def load(self) -> None:
        """Load model and tokenizer, once.

        Raises:
            ModelError: they cannot be loaded, or do not know a language.
        """
        if self._model is not None:
            return
        import torch
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(self.place["location"])
            model = AutoModelForSeq2SeqLM.from_pretrained(self.place["location"])
        except (OSError, ValueError, ImportError) as error:
            text = f"({self.place['source']}) cannot be loaded: {str(error).strip().splitlines()[0]}"
            expected = "a sequence-to-sequence model in a folder, in the cache of Hugging Face or on the Hub"
            lack, fix, key = (
                lack_of("translation", imports=False),
                ("translator.path=<folder or id>",),
                "translator.path",
            )
            note = f"The tokenizers of Marian, M2M100 and NLLB need {lack.text}" if lack else ""
            fix += (lack.fix,) if lack else ()
            raise ModelError(text, key=key, given=self.path, expected=expected, note=note, fix=fix) from error
        source, target = self.languages
        if source:
            _language_id(tokenizer, source, self.path)
            tokenizer.src_lang = source
        if target:
            self.options["forced_bos_token_id"] = _language_id(tokenizer, target, self.path)
        self._tokenizer = tokenizer
        self._model = model.eval().to("cuda" if torch.cuda.is_available() else "cpu")

    def translate(self, texts: Sequence[str], seed: int) -> list[str]:
        """The texts in the other language, in their order; each distinct text is translated once.

        Raises:
            ModelError: as `load`.
        """
        import torch

        self.load()
        by_length = sorted(dict.fromkeys(texts), key=len, reverse=True)
        batches = [by_length[start : start + self.batch_size] for start in range(0, len(by_length), self.batch_size)]
        limits = {"padding": True, "truncation": True, "max_length": self.max_tokens}
        made: dict[str, str] = {}
        devices = [self._model.device] if self._model.device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.inference_mode():
            torch.manual_seed(seed)
            for batch in with_progress(batches, f"translate by {self.path}", len, len(by_length)):
                given = self._tokenizer([self.prefix + text for text in batch], return_tensors="pt", **limits)
                tokens = self._model.generate(**given.to(self._model.device), **self.options)
                translations = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
                made |= zip(batch, map(str.strip, translations), strict=True)
        return [made[text] for text in texts]


def _language_id(tokenizer: Any, code: str, path: str) -> int:
    """The token that stands for a language: M2M100 writes it as __en__, others by the code itself."""
    token = getattr(tokenizer, "lang_code_to_token", {}).get(code, code)
    number = tokenizer.convert_tokens_to_ids(token)
    if number is None or number == tokenizer.unk_token_id:
        fix = "translator.source_language=<code> translator.target_language=<code>"
        expected = "a code of its own, such as en (M2M100) or eng_Latn (NLLB), or null in a model of one pair"
        text = f"does not know the language {code}"
        raise ModelError(text, key="translator.path", given=path, expected=expected, fix=fix)
    return number

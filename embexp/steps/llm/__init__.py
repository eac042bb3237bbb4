"""Texts from a language model behind an OpenAI-compatible endpoint: cached, priced, resumable."""

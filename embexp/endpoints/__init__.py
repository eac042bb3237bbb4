"""Servers of models behind URLs: addresses and keys, tries, rate limits, estimated tokens, what was paid for kept."""

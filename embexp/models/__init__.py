"""Encoders and cross-encoders: found, loaded, put together, run, saved."""

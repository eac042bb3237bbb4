"""Evaluators, metrics as plain data, and what an evaluation leaves behind."""

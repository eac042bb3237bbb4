"""Recipes measured on real data: each one sweep over seeds, run in a process of its own, and what was found by all."""

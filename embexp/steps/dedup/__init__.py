"""Rows and texts that repeat: within a split, and between splits."""

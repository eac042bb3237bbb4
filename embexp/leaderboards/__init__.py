"""Runs compared: cells, verdicts, costs, as tables and as a page."""

"""Runs beside each other: cells, verdicts, costs, as tables and as a page."""

"""Races: the best of many candidates within a budget, losers stopped early, the error under control."""

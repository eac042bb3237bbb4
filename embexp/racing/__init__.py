"""Races: candidates on the same data within a budget, the weak ones stopped early, the best one found."""

"""Leaderboards: runs in cells, what is known of each cell and how surely, and what it costs."""

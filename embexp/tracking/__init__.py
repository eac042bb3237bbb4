"""The run's journal and the trackers behind it."""

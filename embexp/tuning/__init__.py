"""Studies: a numeric search, trial after trial, on dev."""

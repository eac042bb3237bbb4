"""Studies: what is searched, trial after trial, and what was found."""

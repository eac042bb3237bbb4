"""The command line: overrides as people type them, Hydra's entry, and errors as messages."""

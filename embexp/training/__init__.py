"""sentence-transformers' trainer with our callbacks and checkpoints; other trainers."""

"""What a data set is: its shape, its splits, its prompts; reading and writing it."""

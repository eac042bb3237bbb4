"""More training rows from those there are: changed copies, by rules or by models."""

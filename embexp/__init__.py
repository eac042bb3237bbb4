"""embexp: the referee of fine-tuned text-embedding models."""

__version__ = "0.1.0"

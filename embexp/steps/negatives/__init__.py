"""Hard negatives: retrievers, guards against false negatives, mining, the report."""

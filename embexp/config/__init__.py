"""Configuration: composing conf/, the typed roots, calling what a YAML names."""

"""The shipped configuration: `embexp.conf` for Hydra, in other applications too (`pkg://embexp.conf`)."""

import embexp.config.compose  # noqa: F401  # registers the schemas and resolvers that the YAML files refer to

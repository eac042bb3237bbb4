"""Multiruns: jobs that are done once each, one after the other or side by side, and what they found together."""

"""Multiruns: jobs done once each, one after the other or in workers, and their end."""

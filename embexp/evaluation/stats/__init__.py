"""Statistics of a difference: resamples, paired tests, corrections, seeds."""

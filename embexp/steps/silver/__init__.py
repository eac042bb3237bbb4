"""More labelled pairs, labelled by a teacher (Augmented SBERT, Thakur et al. 2021)."""

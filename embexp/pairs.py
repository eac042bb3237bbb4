"""`embexp pairs dataset=texts.txt`: the most similar pairs in a file of texts."""

if __name__ == "__main__":
    from embexp.inspection.similar_pairs import pairs_command

    pairs_command()

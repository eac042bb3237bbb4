"""`embexp clean free=[cache]`: what runs and caches hold on the disk, and how to free it."""

if __name__ == "__main__":
    from embexp.experiment.clean import clean_command

    clean_command()

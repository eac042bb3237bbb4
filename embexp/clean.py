"""`embexp clean free=[cache]`: what runs and caches hold on the disk, and room where it is asked for."""

if __name__ == "__main__":
    from embexp.experiment.clean import clean_command

    clean_command()

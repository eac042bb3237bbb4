"""`embexp power <run>`: which difference the test data and the seeds can show, and what a wanted one would need."""

if __name__ == "__main__":
    from embexp.experiment.power import power_command

    power_command()

"""`embexp power <run>`: how small a difference the test data and the seeds can show."""

if __name__ == "__main__":
    from embexp.experiment.power import power_command

    power_command()

"""`embexp compare <run> <run>`: two finished runs, or two configurations with several seeds."""

if __name__ == "__main__":
    from embexp.experiment.compare import compare_command

    compare_command()

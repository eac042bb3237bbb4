"""`embexp export run=<run>`: other forms of a finished run's model, or of any saved model."""

if __name__ == "__main__":
    from embexp.experiment.export_run import export_command

    export_command()

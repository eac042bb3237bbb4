"""`embexp sync <folder>`: what MLflow lacks of a run, sweep or study, sent from its folder."""

if __name__ == "__main__":
    from embexp.experiment.sync import sync_command

    sync_command()

"""`embexp gate <run> against=<run>`: ship a candidate or not, as an exit code and JSON."""

if __name__ == "__main__":
    from embexp.experiment.gate import gate_command

    gate_command()

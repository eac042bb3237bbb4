"""`embexp inspect dataset=<data>`: a look at a data set before anything is trained on it."""

if __name__ == "__main__":
    from embexp.inspection.inspect_dataset import inspect_command

    inspect_command()

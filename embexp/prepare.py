"""`embexp prepare dataset=<data>`: build a data set to keep, and write it with a manifest."""

if __name__ == "__main__":
    from embexp.inspection.prepare_dataset import prepare_command

    prepare_command()

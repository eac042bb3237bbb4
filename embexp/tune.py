"""`embexp tune loss.scale=10,20`: search for the values that make the best model on dev."""

if __name__ == "__main__":
    from embexp.tuning.study_run import tune_command

    tune_command()

"""`embexp evaluate model=a,b,c`: score models without training, and show which are the best."""

if __name__ == "__main__":
    from embexp.sweep.evaluations import evaluate_command

    evaluate_command()

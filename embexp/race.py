"""`embexp race dataset=faq.csv budget=30m`: find the best model for your data within a budget."""

if __name__ == "__main__":
    from embexp.racing.race_run import race_command

    race_command()

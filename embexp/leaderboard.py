"""`embexp leaderboard sweep=<sweep>`: which loss on which model is better, by how much, at what cost."""

if __name__ == "__main__":
    from embexp.leaderboards.make import leaderboard_command

    leaderboard_command()

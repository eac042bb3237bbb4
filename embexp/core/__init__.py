"""What every run rests on: its folder, its environment, signals, timing, nearest neighbours."""

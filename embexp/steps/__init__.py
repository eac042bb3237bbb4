"""What is done to rows before they are trained on: each step takes a data set and returns a new one."""

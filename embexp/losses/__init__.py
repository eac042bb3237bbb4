"""The description of every loss, and the losses of our own."""

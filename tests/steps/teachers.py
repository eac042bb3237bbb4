"""Teachers that tests can follow: scores from a table, calls that are counted, one that is killed."""

import numpy


class TableScorer:
    """Scores pairs as a table says, 0 where it says nothing; remembers what it was asked, and ends after `most`."""

    def __init__(self, table=None, most=None):
        self.table, self.most, self.asked = table or {}, most, []

    def score(self, pairs):
        if len(self.asked) == self.most:
            raise KeyboardInterrupt
        self.asked.append(list(pairs))
        return numpy.array([self.table.get(tuple(pair), 0.0) for pair in pairs], "float32")


class LengthEncoder:
    """Embeds a text as its length and that of its prompt; remembers what it was asked, and ends after `most`."""

    def __init__(self, most=None):
        self.most, self.asked = most, []

    def encode(self, texts, prompt=None):
        if len(self.asked) == self.most:
            raise KeyboardInterrupt
        self.asked.append(list(texts))
        return numpy.array([[len(text), len(prompt or "")] for text in texts], "float32")

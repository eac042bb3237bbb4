"""Texts of data cut to the width that a picture or a table has for them."""

from rich.cells import cell_len, chop_cells


def shortened(text: str, columns: int) -> str:
    """The text on one line of at most so many columns; Chinese characters take two, what is left out is shown by "…".

    >>> shortened("A man is playing", 12), shortened("股票 大跌", 7), shortened("two\\nlines", 12)
    ('A man is pl…', '股票…', 'two lines')
    """
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    if cell_len(line) <= columns:
        return line
    return chop_cells(line, columns - 1)[0].rstrip() + "…"

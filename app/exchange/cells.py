"""Cells of a CSV file that a spreadsheet would take for a formula, and run: an apostrophe before them keeps them text.

Lossless: what began with apostrophes and such a sign already gets one more.
"""

_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def guarded(text: str) -> str:
    return f"'{text}" if text.lstrip("'").startswith(_SIGNS) else text


def unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(_SIGNS) else cell

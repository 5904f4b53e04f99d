"""Whether the SAE fits the model, asked of the corpus before its long pass."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from app.engine.load_check import Check, check_load, explain
from app.errors import Invalid, NotFound
from app.index.corpus import TEXT, corpus_files, read_records
from app.index.reader import Reader

RECORDS = 256  # more than hold the tokens that are asked
CHARACTERS = 1 << 17  # of each, of which the first window is asked
PLAIN = "seed"  # the bundled English sentences


def stop_where_unfit(reader: Reader, files: Sequence[Path], column: str) -> None:
    """Raises Invalid with what was seen, and the likeliest causes, where the SAE does not seem to fit."""
    check = check_fit(reader, files, column)
    if not check.fits:
        raise Invalid(explain(check, reader.sae.model_name, reader.model.name))


def check_fit(reader: Reader, files: Sequence[Path], column: str = TEXT) -> Check:
    """The check over the first records; over plain English where these alone are the cause.

    An SAE explains little of text unlike any that it was trained on, and that is no mistake of whoever runs it.
    """
    check = _check(reader, files, column)
    if check.problems and not check.causes:
        for plain in _plain_text():
            on_plain = _check(reader, plain, TEXT)
            if on_plain.fits:
                return on_plain
    return check


def _check(reader: Reader, files: Sequence[Path], column: str) -> Check:
    texts = [record.text[:CHARACTERS] for record in islice(read_records(files, column), RECORDS)]
    return check_load(reader.model, reader.sae, reader.hook, reader.prepend_bos, texts, reader.context)


def _plain_text() -> Iterator[list[Path]]:
    try:
        yield corpus_files([PLAIN])
    except NotFound:  # left out of this installation
        return

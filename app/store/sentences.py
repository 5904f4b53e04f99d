"""Sentences of a dictionary's corpus."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain import Dictionary, Sentence
from app.errors import NotFound
from app.store.blobs import unpack_ends
from app.store.tables import SentenceRow


def get_sentence(session: Session, dictionary: Dictionary, number: int) -> Sentence:
    """Raises NotFound, also for a repeated sentence: only the first of equal texts is kept."""
    row = session.get(SentenceRow, (dictionary.key, number)) if 0 <= number < dictionary.n_sentences else None
    if row is None:
        raise NotFound(
            f"{dictionary.id} keeps no sentence {number}; it has {dictionary.n_sentences:,}, repeats left out."
        )
    return Sentence(
        number=number,
        text=row.text,
        ends=unpack_ends(row.boundaries),
        metadata=row.details,
        record=row.record,
        offset=row.offset,
    )


def sentence_neighbors(session: Session, dictionary: Dictionary, number: int) -> tuple[int | None, int | None]:
    """The sentences kept before and after this one: repeats between them are passed over."""
    of_dictionary = SentenceRow.dictionary == dictionary.key
    before = select(func.max(SentenceRow.number)).where(of_dictionary, SentenceRow.number < number)
    after = select(func.min(SentenceRow.number)).where(of_dictionary, SentenceRow.number > number)
    found = session.execute(select(before.scalar_subquery(), after.scalar_subquery())).one()
    return found[0], found[1]

"""A dictionary's labels and its whole table as files, streamed; and labels from a file."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Body, Query
from starlette.responses import StreamingResponse

from app.access.author import author_of
from app.access.routes import needs
from app.access.visit import CurrentPerson
from app.api.parameters import WITH_A_BODY, StoredDictionary, problems
from app.api.schemas.labels import ImportReport
from app.exchange.label_files import LabelFormat, read_labels, write_labels
from app.exchange.table import csv_table, parquet_table
from app.roles import Role
from app.serving import ReadSession, ServedDatabase, WriteSession
from app.store.label_exchange import export_labels, import_labels, plan_import

router = APIRouter(prefix="/dictionaries/{dictionary_id}", tags=["files"], dependencies=[needs(Role.READ)])
MEDIA = {LabelFormat.CSV: "text/csv; charset=utf-8", LabelFormat.JSONL: "application/jsonl"}


@router.get(
    "/table.csv", summary="The table as CSV", responses=problems(404, 500, 503), response_class=StreamingResponse
)
def read_csv_table(dictionary: StoredDictionary, database: ServedDatabase) -> StreamingResponse:
    """Every feature with its statistics, label and top tokens, a row each."""
    return _file(csv_table(database, dictionary), f"{dictionary.id}.csv", MEDIA[LabelFormat.CSV])


@router.get(
    "/table.parquet",
    summary="The table as Parquet",
    responses=problems(404, 500, 503),
    response_class=StreamingResponse,
)
def read_parquet_table(dictionary: StoredDictionary, database: ServedDatabase) -> StreamingResponse:
    """The same columns, typed; 503 where the server lacks the package for it."""
    return _file(parquet_table(database, dictionary), f"{dictionary.id}.parquet", "application/vnd.apache.parquet")


@router.get(
    "/labels.{format}",
    summary="Labels as a file",
    responses=problems(404, 422, 500, 503),
    response_class=StreamingResponse,
)
def read_label_file(dictionary: StoredDictionary, session: ReadSession, format: LabelFormat) -> StreamingResponse:
    """Every label with author, source, score, time and who starred it; what the import takes."""
    lines = list(write_labels(export_labels(session, dictionary), format))
    return _file(iter(lines), f"{dictionary.id}-labels.{format}", MEDIA[format])


@router.post(
    "/labels.{format}",
    summary="Labels from a file",
    responses=problems(*WITH_A_BODY, 404, 422, 500, 503, 507),
    dependencies=[needs(Role.LABEL)],
)
def import_label_file(
    dictionary: StoredDictionary,
    session: WriteSession,
    person: CurrentPerson,
    format: LabelFormat,
    content: Annotated[bytes, Body(min_length=1, media_type="text/csv", description="The file, as CSV or JSON lines.")],
    dry_run: Annotated[bool, Query(description="Only say what would change.")] = False,
    author: Annotated[str, Query(max_length=100, description="Who imports, where nobody is signed in.")] = "import",
) -> ImportReport:
    """All of it, or nothing where a line cannot be used: `detail` then names every such line."""
    records = read_labels(content, format, dictionary.n_features)
    if dry_run:
        report = plan_import(session, dictionary, records).report
    else:
        report = import_labels(session, dictionary, records, author_of(person, author))
    return ImportReport(**{**vars(report), "dry_run": dry_run})


def _file(pieces: Iterator[str] | Iterator[bytes], name: str, media: str) -> StreamingResponse:
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return StreamingResponse(pieces, media_type=media, headers=headers)

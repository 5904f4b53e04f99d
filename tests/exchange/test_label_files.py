"""Labels and tables as files: what goes out comes in again, and a file with a bad line changes nothing."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.settings import database_url as database_url_of
from app.store.database import Database
from app.store.labels import forget_labels
from tests.conftest import Indexed, index_tiny
from tests.server import run
from tests.tiny import N_FEATURES, Tiny

API = "/api/v1/dictionaries/tiny"
CSV = {"content-type": "text/csv"}
TWO = (
    "feature,text,author,source,score,created_at,starred_by\n"
    '3,"aces, serves",Ada,person,,2026-01-02T03:04:05+00:00,"[""Bob""]"\n'
    "4,日本,a model,a model,0.5,,\n"
)


@pytest.fixture
def empty(client: TestClient, indexed: Indexed) -> Iterator[TestClient]:
    """A client of a dictionary without labels, which has none again in the end."""
    yield client
    database = Database(database_url_of(indexed.url))
    with database.write() as session:
        forget_labels(session, "tiny")
    database.close()


def send(
    client: TestClient, content: str | bytes, query: str = "", format: str = "csv"
) -> tuple[int, dict[str, object]]:
    answer = client.post(f"{API}/labels.{format}{query}", content=content, headers=CSV)
    body: dict[str, object] = answer.json()
    return answer.status_code, body


def test_a_dry_run_says_what_would_change_and_changes_nothing(empty: TestClient) -> None:
    expected = {"added": 2, "changed": 0, "unchanged": 0, "starred": 1}
    assert send(empty, TWO, "?dry_run=true") == (200, {**expected, "dry_run": True})
    assert empty.get(f"{API}/labels.jsonl").text == ""
    assert send(empty, TWO) == (200, {**expected, "dry_run": False})
    again = {"added": 0, "changed": 0, "unchanged": 2, "starred": 0}
    assert send(empty, TWO) == (200, {**again, "dry_run": False})


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_what_is_exported_is_imported_the_same(empty: TestClient, format: str) -> None:
    send(empty, TWO)
    exported = empty.get(f"{API}/labels.{format}").text
    names = [empty.get(f"{API}/features/{i}").json()["label"] for i in (3, 4)]
    assert names == ["aces, serves", "日本"]
    for index in (3, 4):
        where = f"{API}/features/{index}/labels"
        for label in empty.get(where).json()["labels"]:
            empty.delete(f"{where}/{label['id']}?author=test")
    status, report = send(empty, exported, format=format)
    assert (status, report["added"]) == (200, 2)
    assert [empty.get(f"{API}/features/{i}").json()["label"] for i in (3, 4)] == names
    assert empty.get(f"{API}/labels.{format}").text.splitlines()[0] == exported.splitlines()[0]
    assert empty.get("/api/v1/search?q=aces&kind=label").json()["total"] == 1


def test_no_cell_of_a_file_is_a_formula_for_a_spreadsheet(empty: TestClient) -> None:
    """And each text comes back as it was, that which begins with an apostrophe too."""
    texts = ["=HYPERLINK(1)", "+1 or more", "-ing", "@ signs", "'= quoted", "''=", "'plain'", "minus - within"]
    for index, text in enumerate(texts):
        empty.post(f"{API}/features/{index}/labels", json={"text": text, "author": "=Eve"})
    exported = empty.get(f"{API}/labels.csv").text
    rows = list(csv.DictReader(io.StringIO(exported)))
    assert [row["text"] for row in rows] == [f"'{text}" for text in texts[:6]] + texts[6:]
    assert {row["author"] for row in rows} == {"'=Eve"}
    in_table = list(csv.DictReader(io.StringIO(empty.get(f"{API}/table.csv").text)))
    assert [row["label"] for row in in_table[: len(texts)]] == [row["text"] for row in rows]
    report = send(empty, exported)[1]
    assert (report["added"], report["unchanged"]) == (0, len(texts))


def test_another_score_is_taken_and_a_star_makes_the_name(empty: TestClient) -> None:
    send(empty, TWO)
    rescored = "feature,text,author,source,score\n4,日本,a model,a model,0.75\n"
    assert send(empty, rescored)[1]["changed"] == 1
    assert empty.get(f"{API}/features/4/labels").json()["labels"][0]["score"] == 0.75
    send(empty, 'feature,text,author,starred_by\n3,first,Eve,"[""A"",""B""]"\n')
    assert empty.get(f"{API}/features/3").json()["label"] == "first"


def test_ten_thousand_lines_with_bad_ones_in_the_middle_change_nothing(empty: TestClient) -> None:
    lines = [f"{i % N_FEATURES},label {i},Ada" for i in range(10_000)]
    bad = {17: "99,nowhere,Ada", 4000: "x,what,Ada", 4001: f"3,{'y' * 600},Ada", 9998: "3,  ,Ada", 9999: "3,bell\a,Ada"}
    for number, line in bad.items():
        lines[number] = line
    status, problem = send(empty, "feature,text,author\n" + "\n".join(lines))
    detail = str(problem["detail"])
    assert status == 422
    assert "5 lines cannot be used" in detail
    for number, fault in {17: "no feature '99'", 4000: "not a number", 4001: "600 characters", 9998: "empty"}.items():
        assert f"line {number + 2}: " in detail
        assert fault in detail
    assert empty.get(f"{API}/labels.jsonl").text == ""


@pytest.mark.slow
def test_ten_thousand_labels_are_imported_at_once(empty: TestClient) -> None:
    lines = [f"{i % N_FEATURES},label number {i},Ada" for i in range(10_000)]
    assert send(empty, "feature,text,author\n" + "\n".join(lines))[1]["added"] == 10_000
    assert empty.get("/api/v1/search?q=9999&kind=label").json()["features"][0]["snippet"] == "label number 9999"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"text,author\nx,y\n", "no column 'feature'"),
        (b"feature,text,colour\n3,x,red\n", "a column 'colour'"),
        (b"feature,text\n3,x,y\n", "line 2"),
        (b"feature,text\n3,\xff\n", "line 2: is not UTF-8"),
        (b'feature,text\n3,"a\nb"\n4,"open\n5,c', "line 4: is not CSV"),
        (b'[{"feature":3,"text":"a"}]', "line 1: is not CSV"),
        (b"feature,text,text\n3,x,y\n", "column 'text' twice"),
        (b"feature,text,score\n3,x,nan\n", "score is 'nan'"),
        (b"feature,text,created_at\n3,x,yesterday\n", "created_at is 'yesterday'"),
        (b"feature,text,starred_by\n3,x,Bob\n", "starred_by is 'Bob'"),
        (b"", "missing"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(empty: TestClient, content: bytes, says: str) -> None:
    status, problem = send(empty, content)
    assert status == 422
    assert says in str(problem["detail"])


@pytest.mark.parametrize("between", ["\t", ";"])
def test_cells_may_stand_apart_as_spreadsheets_write_them(empty: TestClient, between: str) -> None:
    file = f'feature{between}text\n3{between}"one, two; three"\n'
    assert send(empty, file) == (200, {"added": 1, "changed": 0, "unchanged": 0, "starred": 0, "dry_run": False})
    assert empty.get(f"{API}/features/3").json()["label"] == "one, two; three"


def test_a_file_sent_as_a_form_is_told_how_to_be_sent(empty: TestClient) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    refused = empty.post(f"{API}/labels.csv", content="feature,text\n3,x\n", headers=form)
    assert refused.status_code == 403
    assert "text/csv" in refused.json()["detail"]


def test_json_lines_that_are_none_say_where(empty: TestClient) -> None:
    status, problem = send(empty, '{"feature": 3, "text": "x"}\n[1]\n{"feature": true, "text": 4}\n', format="jsonl")
    assert status == 422
    assert "line 2" in str(problem["detail"])
    assert "line 3" in str(problem["detail"])


def test_the_table_holds_every_feature(client: TestClient) -> None:
    answer = client.get(f"{API}/table.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="tiny.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [int(row["index"]) for row in rows] == list(range(N_FEATURES))
    for row in rows[:5]:
        feature = client.get(f"{API}/features/{row['index']}").json()
        assert float(row["density"]) == pytest.approx(feature["density"])
        assert json.loads(row["top_tokens"]) == [token["token"] for token in feature["top_tokens"]]


def test_the_table_as_parquet_holds_the_same(client: TestClient) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra 'corpora' is not installed")
    table = parquet.read_table(io.BytesIO(client.get(f"{API}/table.parquet").content))
    rows = list(csv.DictReader(io.StringIO(client.get(f"{API}/table.csv").text)))
    assert table.column("index").to_pylist() == [int(row["index"]) for row in rows]
    assert table.column("max_activation").to_pylist() == pytest.approx([float(row["max_activation"]) for row in rows])
    assert table.column("top_tokens").to_pylist() == [json.loads(row["top_tokens"]) for row in rows]


@pytest.mark.slow
def test_the_commands_do_the_same(tiny: Tiny, tmp_path: Path) -> None:
    folder, tiny_database = tmp_path, tmp_path / "tiny.db"
    index_tiny(tiny, tiny_database)
    (folder / "two.csv").write_text(TWO, encoding="utf-8")
    db = ["--db", str(tiny_database)]
    tried = run(["import-labels", "tiny", "two.csv", "--dry-run", *db], folder)
    assert "2 labels would be added" in tried.stdout
    assert run(["import-labels", "tiny", "two.csv", *db], folder).returncode == 0
    written = run(["export-labels", "tiny", "out.jsonl", *db], folder)
    assert written.returncode == 0, written.stderr
    texts = [json.loads(line)["text"] for line in (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert texts == ["aces, serves", "日本"]
    odd = run(["import-labels", "tiny", "out.txt", *db], folder)
    assert (odd.returncode, "neither .csv nor .jsonl" in odd.stderr) == (1, True)

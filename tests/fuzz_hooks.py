"""What a valid call holds beyond what a schema can say; schemathesis loads this (tests/fuzz.py).

Only calls that are made to be valid are touched, and only where the schema leaves open what the server cannot: whose
page a cursor continues, how many tokens a text has, which of two limits is the lower one.
"""

import re
from typing import Any

import schemathesis

from app.errors import Invalid
from app.store.search_query import parse_query
from tests.tiny import N_FEATURES

TAG = re.compile(r'\*|"\d{1,9}"')
FILES = {"csv": "feature,text\n3,about tennis\n", "jsonl": '{"feature": 3, "text": "about tennis"}\n'}
MOST_SAMPLES, MOST_ABLATED = 4, 50  # of app/settings.py, which a server may set
# Of a prompt and written after it: at most 52 tokens of the 64 that the model reads.
MOST_CHARACTERS, MOST_TOKENS = 8, 20
# Where there are changes to undo, by their ids from 1 on.
LABELLED, LABELLED_FEATURE, N_CHANGES = "tiny", 3, 200


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if isinstance(case.query, dict):
        mend_query(case.query)
    if case.headers is not None and "if-match" in case.headers and not TAG.search(str(case.headers["if-match"])):
        case.headers["if-match"] = "*"
    if case.operation.path.endswith("/undo"):
        change = int(case.path_parameters["change_id"]) % N_CHANGES + 1
        case.path_parameters |= {"dictionary_id": LABELLED, "index": LABELLED_FEATURE, "change_id": change}
    if case.operation.path.endswith("/labels.{format}") and case.method == "POST":
        case.body = FILES[case.path_parameters["format"]]
    elif isinstance(case.body, dict):
        mend_body(case.body)


def mend_query(query: dict[str, Any]) -> None:
    query.pop("cursor", None)
    for name in ("density", "max_activation"):
        if query.get(f"min_{name}") is not None:
            query.pop(f"max_{name}", None)
    if "q" in query and not is_search(str(query["q"])):
        query["q"] = "the"
    if query.get("author") is not None:
        query["author"] = one_line(str(query["author"]))


def is_search(q: str) -> bool:
    try:
        parse_query(q)
    except Invalid:
        return False
    return True


def mend_body(body: dict[str, Any]) -> None:
    if body.get("position") is not None:
        body["position"] = 0
    for name in ("target", "versus"):
        if name in body:
            body[name] = None
    for name in ("text", "author"):
        if isinstance(body.get(name), str) and "position" not in body and "target" not in body:
            body[name] = one_line(body[name])
    limits = (("max_new_tokens", MOST_TOKENS), ("n_samples", MOST_SAMPLES), ("n", MOST_ABLATED))
    for name, most in limits:
        if name in body:
            body[name] = min(body[name], most)
    if body.get("temperature") == 0:
        body["n_samples"] = 1
    if isinstance(features := body.get("features"), list):
        if "prompt" in body:
            body["prompt"] = body["prompt"].strip()[:MOST_CHARACTERS]
            body["features"] = [features[0] | {"index": 3}]
            body["controls"] = False
        else:
            body["features"] = [int(index) % N_FEATURES for index in features]


def one_line(text: str) -> str:
    return "".join(character for character in text if character.isprintable()).strip() or "x"

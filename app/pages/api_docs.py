"""The API's documentation, made from its own OpenAPI document: no script, and nothing from another host."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import HTMLResponse

from app.access.routes import needs
from app.pages.web import render
from app.roles import Role

Schema: TypeAlias = Mapping[str, Any]
Schemas: TypeAlias = Mapping[str, Schema]

router = APIRouter(dependencies=[needs(Role.READ)])
METHODS = ("get", "post", "put", "delete")


@dataclass(frozen=True)
class Parameter:
    """kind: what values it takes; default: empty where there is none."""

    name: str
    place: str
    kind: str
    required: bool
    default: str
    description: str


@dataclass(frozen=True)
class Answer:
    status: str
    description: str


@dataclass(frozen=True)
class Call:
    """One method of one address. body, answer: outlines of the JSON, empty where there is none."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    parameters: list[Parameter]
    body: str
    answer: str
    answers: list[Answer]


@dataclass(frozen=True)
class Noun:
    name: str
    calls: list[Call]


@dataclass(frozen=True)
class ApiDocsPage:
    title: str
    description: str
    nouns: list[Noun]


@router.get("/api/docs")
def show_api_docs(request: Request) -> HTMLResponse:
    app: FastAPI = request.app
    return render("api_docs.html", api_docs_page(app.openapi()))


def api_docs_page(document: Schema) -> ApiDocsPage:
    schemas: Schemas = document["components"]["schemas"]
    nouns: dict[str, list[Call]] = {}
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                operation = methods[method]
                nouns.setdefault(operation["tags"][0], []).append(_call(method, path, operation, schemas))
    info = document["info"]
    title = f"{info['title']} API, version 1"
    return ApiDocsPage(title, info["description"], [Noun(name, calls) for name, calls in nouns.items()])


def _call(method: str, path: str, operation: Schema, schemas: Schemas) -> Call:
    responses: Schema = operation["responses"]
    good = next(answer for status, answer in responses.items() if status.startswith("2"))
    return Call(
        anchor=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        description=operation.get("description", ""),
        parameters=[_parameter(parameter, schemas) for parameter in operation.get("parameters", [])],
        body=_json_outline(operation.get("requestBody", {}), schemas),
        answer=_json_outline(good, schemas),
        answers=[Answer(status, answer["description"]) for status, answer in responses.items()],
    )


def _parameter(parameter: Schema, schemas: Schemas) -> Parameter:
    schema: Schema = parameter["schema"]
    return Parameter(
        name=parameter["name"],
        place=parameter["in"],
        kind=kind(schema, schemas),
        required=parameter.get("required", False),
        default=str(schema["default"]) if schema.get("default") is not None else "",
        description=parameter.get("description", ""),
    )


def _json_outline(holder: Schema, schemas: Schemas) -> str:
    schema = holder.get("content", {}).get("application/json", {}).get("schema")
    return "" if schema is None else "\n".join(outline(schema, schemas))


def kind(schema: Schema, schemas: Schemas) -> str:
    """The values that a schema takes, in words."""
    schema = _resolve(schema, schemas)
    if "anyOf" in schema:
        return " or ".join(kind(option, schemas) for option in schema["anyOf"] if option.get("type") != "null")
    if "enum" in schema:
        return " · ".join(str(value) for value in schema["enum"])
    bounds = [f"at least {schema['minimum']}"] if "minimum" in schema else []
    bounds += [f"at most {schema['maximum']}"] if "maximum" in schema else []
    bounds += [f"up to {schema['maxLength']} characters"] if "maxLength" in schema else []
    return ", ".join([str(schema.get("type", "any value")), *bounds])


def outline(schema: Schema, schemas: Schemas) -> Iterator[str]:
    """A schema as lines that look like the JSON it describes; what a field means stands behind it."""
    schema = _resolve(schema, schemas)
    options = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    if options:
        *first, last = outline(options[0], schemas)
        yield from first
        yield last + " or null"
    elif schema.get("type") == "array":
        first_line, *rest = outline(schema["items"], schemas)
        if rest:
            *middle, last = rest
            yield "[" + first_line
            yield from middle
            yield last + "]"
        else:
            yield f"[{first_line}]"
    elif "properties" in schema:
        yield "{"
        for name, part in schema["properties"].items():
            first_line, *rest = outline(part, schemas)
            note = f"  # {part['description']}" if part.get("description") else ""
            yield f'  "{name}": {first_line}{note}'
            yield from (f"  {line}" for line in rest)
        yield "}"
    elif "enum" in schema:
        yield " | ".join(f'"{value}"' for value in schema["enum"])
    elif schema.get("type") == "object":
        yield "{…}"
    else:
        yield str(schema.get("format") or schema.get("type") or "any JSON")


def _resolve(schema: Schema, schemas: Schemas) -> Schema:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rsplit("/", 1)[-1]]
    return schema

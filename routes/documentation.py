"""GET /openapi.json: the contract, generated from routes, query models, reply types and the error tree."""

from __future__ import annotations

import inspect
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from hashlib import blake2b
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, TypeAdapter
from werkzeug.routing import Rule

from routes.access import HOW_TO_SEND, KEY_REQUIRED, WITHOUT_KEY, WITHOUT_LIMIT
from routes.errors import FORBIDDEN_CODES, HTTP_CODES, RATE_LIMITED_CODE, UNAUTHORIZED_CODE, ErrorBody, error_body
from routes.query_parameters import NoQuery, TableQuery
from routes.schemas import BODIES, POST_BODIES
from routes.validation import parameters, takes
from services.errors import CreatorNotFoundError, InsightsError, InsufficientScopeError
from services.export import ExportLine

bp = Blueprint("documentation", __name__)
_building = threading.Lock()

VERSION = "0.1.0"
EXAMPLES = Path(__file__).with_name("examples")
REFERENCE = "#/components/schemas/{model}"
# Of what is not JSON: a text, and lines of which the schema describes one.
MEDIA_TYPES: Mapping[object, str] = {str: "text/plain", ExportLine: "application/x-ndjson"}
COMMON_STATUSES = (400, 404, 405, 413, 414, 431, 500)  # the statuses of errors that any path may answer
KEPT_FOR = 300  # seconds for which callers may keep this document; it changes with the version only


def _header(description: str, type_: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": type_}}


HEADERS = {
    "X-Request-Id": _header("The id of this request, also in the log."),
    "X-Provider-Calls": _header("The number of provider calls for this reply."),
    "X-Insights-Sandbox": _header("true where the numbers are simulated."),
    "X-Content-Type-Options": _header("nosniff."),
    "Cache-Control": _header(
        "For how long the reply may be kept, from the moment that `Age` counts from; or no-store."
    ),
    "Vary": _header("The request headers that the reply depends on, in one line."),
    "ETag": _header("Names these bytes; sent back as If-None-Match it saves the body."),
    "Age": _header("Seconds since the oldest number was fetched.", "integer"),
    "Cache-Status": _header("The part of the gateway's cache in the reply (RFC 9211)."),
    "WWW-Authenticate": _header("That a valid API key is required, as a Bearer token; with 401 `unauthorized`."),
    "RateLimit-Policy": _header('How many requests the caller may send in how many seconds: "key";q=600;w=60.'),
    "RateLimit": _header('What is left of that, and the seconds until there is more: "key";r=583;t=42.'),
    "Retry-After": _header("Seconds to wait; always with 202, 402 and 429.", "integer"),
    "Content-Disposition": _header("The name of the file that a table is saved as."),
}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


COMMON = _headers("X-Request-Id", "X-Provider-Calls", "X-Insights-Sandbox", "X-Content-Type-Options", "Cache-Control")
LIMITS = _headers("RateLimit-Policy", "RateLimit")
VALIDATOR = _headers("ETag")
FRESHNESS = _headers("ETag", "Age", "Cache-Status", "Vary")
WAITING = (202, 402, 429, 503, 504)  # the statuses that may come with Retry-After

SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key of `make key`. The sandbox also answers without one.",
    },
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
}
ERROR = {"schema": {"$ref": REFERENCE.format(model="Error")}}
KEY_EXAMPLE = {
    "examples": {
        UNAUTHORIZED_CODE: {
            "summary": "without an API key",
            "value": error_body(UNAUTHORIZED_CODE, KEY_REQUIRED, hint=HOW_TO_SEND, request_id="an-example"),
        }
    }
}
SIGNATURE = {
    "name": "X-Hub-Signature-256",
    "in": "header",
    "required": True,
    "description": "sha256= and the hex HMAC-SHA256 of the body's bytes, made with an app secret.",
    "schema": {"type": "string"},
}
DELIVERY = {
    "required": True,
    "description": "A delivery as Meta sends it: changes of accounts.",
    "content": {"application/json": {"schema": {"type": "object"}}},
}


@bp.get("/openapi.json")
@takes(NoQuery)
def openapi(_: NoQuery) -> ResponseReturnValue:
    """Describe every endpoint: its parameters, replies and errors."""
    text, etag = _built()
    response = Response(text, content_type="application/json")
    response.set_etag(etag)
    response.headers["Cache-Control"] = f"public, max-age={KEPT_FOR}"
    return response.make_conditional(request)


def _built() -> tuple[bytes, str]:
    """Return the document as bytes, with its tag; it is made once, for the first caller."""
    with _building:
        if "openapi" not in current_app.extensions:
            text = jsonify(document(current_app)).get_data()
            current_app.extensions["openapi"] = text, blake2b(text, digest_size=12).hexdigest()
        built: tuple[bytes, str] = current_app.extensions["openapi"]
        return built


def document(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the application's routes."""
    schemas: dict[str, Any] = {"Error": _schema(ErrorBody, {})}
    paths: dict[str, dict[str, Any]] = {}
    for rule in _rules(app):
        method = "post" if "POST" in (rule.methods or ()) else "get"
        paths.setdefault(path_of(rule), {})[method] = _operation(app, rule, schemas, method=method)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Insights Gateway",
            "version": VERSION,
            "description": "Instagram insights and creators' performance data, behind a stable contract.",
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "headers": HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _rules(app: Flask) -> Iterator[Rule]:
    return iter(sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule))


def path_of(rule: Rule) -> str:
    """Return a path as OpenAPI writes it, with its variable parts in braces."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)


def _operation(app: Flask, rule: Rule, schemas: dict[str, Any], *, method: str) -> dict[str, Any]:
    view = app.view_functions[rule.endpoint]
    model: type[BaseModel] = vars(view)["query_model"]  # Set by @takes.
    path = path_of(rule)
    responses = {
        str(status): _success(path, status, body, schemas, model=model)
        for status, body in (BODIES if method == "get" else POST_BODIES)[path].items()
    }
    if validators := _validators(path, model):
        responses["304"] = {
            "description": "Not Modified: If-None-Match has the ETag of the reply, which has no body then.",
            "headers": _common(path) | validators,
        }
    failures = error_classes() if model is not NoQuery else ()
    operation: dict[str, Any] = {
        "summary": inspect.getdoc(view),
        "operationId": _slug(path) if method == "get" else f"{_slug(path)}_{method}",
        "parameters": [_parameter(model, name, in_path=name in rule.arguments) for name in parameters(model)],
        "responses": responses | _failures(vars(view).get("failures", failures), path),
        "security": [] if path in WITHOUT_KEY else [{name: []} for name in SECURITY_SCHEMES],
    }
    return operation if method == "get" else operation | {"parameters": [SIGNATURE], "requestBody": DELIVERY}


def _parameter(model: type[BaseModel], name: str, *, in_path: bool) -> dict[str, Any]:
    schema = dict(_properties(model)[name])
    schema.pop("title", None)
    return {
        "name": name,
        "in": "path" if in_path else "query",
        "required": parameters(model)[name].is_required(),
        "description": schema.pop("description", ""),
        "schema": _without_null(schema),
    }


@cache
def _properties(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    properties: dict[str, dict[str, Any]] = model.model_json_schema()["properties"]
    return properties


def _validators(path: str, model: type[BaseModel]) -> dict[str, Any]:
    """Return the headers of a reply that may be kept; none where it may not."""
    if path == "/openapi.json":
        return VALIDATOR
    return FRESHNESS if issubclass(model, TableQuery) and model.cacheable else {}


def _common(path: str) -> dict[str, Any]:
    """Return the headers of every reply of a path."""
    limits = {} if path in WITHOUT_LIMIT else LIMITS
    return COMMON | limits | ({} if path in WITHOUT_KEY else _headers("Vary"))


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without null: a parameter without a value is left out of the query."""
    if "default" in schema and schema["default"] in (None, []):
        schema.pop("default")
    choices = [choice for choice in schema.pop("anyOf", ()) if choice != {"type": "null"}]
    return schema | choices[0] if choices else schema


def _success(
    path: str, status: int, body: object, schemas: dict[str, Any], *, model: type[BaseModel]
) -> dict[str, Any]:
    media_type = MEDIA_TYPES.get(body, "application/json")
    content: dict[str, Any] = {media_type: {"schema": _schema(body, schemas)}}
    if found := [example for example in examples(path) if example["status"] == status]:
        content[media_type]["examples"] = {
            example["name"]: {"summary": example["request"], "value": example["body"]} for example in found
        }
    headers = _common(path) | _headers(*(["Retry-After"] if status in WAITING else []))
    if (issubclass(model, TableQuery) or body is ExportLine) and status == HTTPStatus.OK:
        content["text/csv"] = {"schema": {"type": "string"}}
        headers |= _headers("Content-Disposition", "Vary")
    if status == HTTPStatus.OK:
        headers |= _validators(path, model)
    return {"description": HTTPStatus(status).phrase, "headers": headers, "content": content}


@cache
def examples(path: str) -> list[dict[str, Any]]:
    """Return the recorded requests and replies of a path; a test replays them."""
    file = EXAMPLES / f"{_slug(path)}.json"
    return list(json.loads(file.read_text())) if file.exists() else []


def _slug(path: str) -> str:
    return re.sub(r"\W+", "_", path).strip("_")


def _schema(type_: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = TypeAdapter(type_).json_schema(ref_template=REFERENCE)
    schemas |= schema.pop("$defs", {})
    return schema


def _failures(classes: Iterable[type[InsightsError]], path: str) -> dict[str, Any]:
    """Return one response for each status, with the codes that come with it."""
    codes: dict[int, list[str]] = {status: [code] for status, code in HTTP_CODES.items() if status in COMMON_STATUSES}
    codes[403] = list(FORBIDDEN_CODES)
    codes[500] = [InsightsError.code]
    if path not in WITHOUT_KEY:
        codes[401] = [UNAUTHORIZED_CODE]
        codes[403].append(InsufficientScopeError.code)
    if path not in WITHOUT_LIMIT:
        codes[429] = [RATE_LIMITED_CODE]
    for error in classes:
        found = codes.setdefault(error.status, [])
        found += [code for code in error_codes(error) if code not in found]
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(sorted(names))}",
            "headers": _common(path)
            | _headers(*(["Retry-After"] if status in WAITING else []))
            | _headers(*(["WWW-Authenticate"] if UNAUTHORIZED_CODE in names else [])),
            "content": {"application/json": ERROR | (KEY_EXAMPLE if UNAUTHORIZED_CODE in names else {})},
        }
        for status, names in sorted(codes.items())
    }


def error_classes() -> list[type[InsightsError]]:
    """Return every class of the error tree that is raised as such, top down."""
    found: list[type[InsightsError]] = []
    waiting = [InsightsError]
    while waiting:
        kind = waiting.pop(0)
        waiting += kind.__subclasses__()
        if not kind.__subclasses__():
            found.append(kind)
    return found


def error_codes(error: type[InsightsError]) -> tuple[str, ...]:
    """Return the codes that a class of the tree answers with."""
    return CreatorNotFoundError.CODES if error is CreatorNotFoundError else (error.code,)

"""OpenAPI: the description of the REST routes, made from their table and their models.

Nothing is written down twice: what a route takes and gives stands in its `Route` alone.
"""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import syncd
from syncd.server.http import ERROR_CODES
from syncd.server.rest.models import ErrorAnswer
from syncd.server.rest.route import Route

_REF = "#/components/schemas/{model}"


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 description of `routes`."""
    models = {model for route in routes for model in _models(route)} | {ErrorAnswer}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema([(model, "validation") for model in ordered], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "syncd", "version": syncd.__version__, "description": syncd.__doc__ or ""},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _models(route: Route) -> list[type[BaseModel]]:
    return [m for m in (route.answer, route.body, route.passed_on) if isinstance(m, type) and issubclass(m, BaseModel)]


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": (route.handler.__doc__ or "").strip(),
        "parameters": _parameters(route),
        "responses": _responses(route),
        "security": _security(route),
    }
    if route.body is not None:
        schema = _ref(route.passed_on or route.body)
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.may_have_token:
        return [{}, {"token": []}]
    return [{"token": []}] if route.needs_token else []


def _parameters(route: Route) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    if route.query is not None:
        schema = route.query.model_json_schema()
        required = schema.get("required", [])
        for name, field in schema["properties"].items():
            parameters.append({"name": name, "in": "query", "required": name in required, "schema": field})
    return parameters


def _responses(route: Route) -> dict[str, Any]:
    content: dict[str, Any] = {media: {"schema": {}} for media in route.media}
    answer = route.answer or (route.passed_on if "application/json" in content else None)
    if answer is not None:
        content["application/json"] = {"schema": _ref(answer)}
    responses: dict[str, Any] = {}
    for status, text in {route.status: "Done.", **route.other_statuses}.items():
        responses[str(status)] = {"description": text} | ({"content": content} if content else {})
    by_status: dict[int, list[str]] = {}
    for code in route.all_errors():
        by_status.setdefault(ERROR_CODES[code].status, []).append(code)
    for status, codes in sorted(by_status.items()):
        text = " ".join(f"`{code}`: {ERROR_CODES[code].meaning}" for code in codes)
        responses[str(status)] = {
            "description": text,
            "content": {"application/json": {"schema": _ref(ErrorAnswer)}},
        }
    return responses


def _ref(model: type[Any]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}

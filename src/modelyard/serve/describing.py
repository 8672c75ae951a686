"""What the OpenAPI document says besides the model: health, models, jobs, usage, the administrator's paths, and who may ask for what.

`openapi` and `asking` describe what a model answers; this adds all that the service answers itself, so that the document is whole:
what is not in it is 404 or 405. It knows nothing about HTTP servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

Json = dict[str, Any]
TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer"}
NUMBER: Json = {"type": "number"}
TRUTH: Json = {"type": "boolean"}
KEY: list[Json] = [{"key": []}]
ADMIN: list[Json] = [{"administrator": []}]
SCHEMES: Json = {
    "key": {"type": "http", "scheme": "bearer", "description": "A customer's key: `yard_…`."},
    "administrator": {"type": "http", "scheme": "bearer", "description": "The administrator's token."},
}
COMMON = ("400", "408", "413", "414", "415", "422", "429", "431", "500", "503")
"""Statuses of refusals that any path may answer."""
_SPEAKING = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")


def whole(model: Json, *, name: str | None, accounts: bool, jobs: bool, docs: bool) -> Json:
    """A model's document with everything that the service answers besides. `name`: the model, where it is not the default one."""
    paths = dict(model["paths"])
    asked = {**paths["/v1/predict"]["post"]}
    asked["parameters"] = [*asked["parameters"], *([_once()] if accounts else [])]
    asked["responses"] = {
        **asked["responses"],
        **_refusals("401", "403", "404", "409", "499", *COMMON, accounts=accounts),
    }
    secured = {"security": KEY} if accounts else {}
    paths["/v1/predict"] = {"post": asked | secured}
    if name is not None:
        del paths["/v1/predict"]
        paths[f"/v1/models/{quote(name, safe='')}/predict"] = {"post": asked | secured}
    for path in _SPEAKING:
        if path in paths:
            post = {**paths[path]["post"]}
            post["responses"] = {**post["responses"], **_refusals("401", "403", "409", "499", *COMMON, accounts=accounts, shape="OpenAIError")}  # fmt: skip
            post["parameters"] = [_once()] if accounts else []
            paths[path] = {"post": post | secured}
    paths |= _open(accounts=accounts, docs=docs)
    if accounts:
        paths |= {"/v1/usage": {"get": _get("usage", "What your customer used this month", _ref("Usage"), KEY)}}
        paths |= {"/v1/feedback": {"post": _feedback()}}
        paths |= _admin()
    if jobs:
        paths |= _jobs()
    components = {**model["components"], "schemas": {**model["components"]["schemas"], **_schemas()}}
    if accounts:
        components["securitySchemes"] = SCHEMES
    return {**model, "paths": paths, "components": components}


def _open(*, accounts: bool, docs: bool) -> Json:
    """What needs no key; the description needs the administrator's token where it is closed, the counters where there are accounts."""
    html = {"description": "A page.", "content": {"text/html": {"schema": TEXT}}}
    closed = None if docs else ADMIN
    status = {"application/json": {"schema": _object(status=TEXT)}}
    told: Json = {"type": "object"}
    return {
        "/": {"get": _plain("home", "To the console, or to the page of the API", {"307": {"description": "There."}})},
        "/healthz": {"get": _plain("healthz", "Is the process alive?", {"200": {"description": "It is.", "content": status}})},
        "/readyz": {
            "get": _plain("readyz", "Should it be sent requests?", {"200": {"description": "Yes.", "content": status}, "503": {"description": "Not yet, or no more.", "content": status}})
        },
        "/metrics": {
            "get": _plain(
                "metrics", "Counters for Prometheus",
                {"200": {"description": "Text format.", "content": {"text/plain": {"schema": TEXT}}}, **_refusals("401", accounts=accounts)},
            )
            | ({"security": ADMIN} if accounts else {})
        },
        "/openapi.json": {"get": _get("openapi", "This document", told, closed)},
        "/docs": {"get": _plain("docs", "A page to try it", {"200": html}) | ({"security": ADMIN} if closed else {})},
        "/console": {"get": _plain("console", "The console", {"200": html})},
        "/v1/models": {"get": _get("models", "What answers here", _object(object=TEXT, data={"type": "array", "items": _ref("Model")}), None if docs else KEY)},
        "/v1/models/{model}": {
            "get": _get("model", "One model", _ref("Model"), None if docs else KEY, _path("model"), shape="OpenAIError")
        },
        "/v1/models/{model}/openapi.json": {
            "get": _get("openapi_of_a_model", "The document of one model", told, closed, _path("model"))
        },
    }  # fmt: skip


def _jobs() -> Json:
    """Batch jobs."""
    rows = {"application/x-ndjson": {"schema": TEXT}, "text/csv": {"schema": TEXT}}
    made = {"description": "Taken.", "content": {"application/json": {"schema": _ref("Job")}}}
    return {
        "/v1/jobs": {
            "get": _get("jobs", "Your jobs", _object(jobs={"type": "array", "items": _ref("Job")}), KEY),
            "post": {
                "operationId": "create_job",
                "summary": "Leave rows to be answered when there is time",
                "parameters": [_once(), {"name": "model", "in": "query", "required": False, "schema": TEXT}],
                "requestBody": {"required": True, "content": rows},
                "responses": {"202": made, **_refusals("401", "403", "404", "409", "499", *COMMON)},
                "security": KEY,
            },
        },
        "/v1/jobs/{job}": {
            "get": _get("job", "One job", _ref("Job"), KEY, _path("job")),
            "delete": _get("remove_job", "Remove a job, its rows and its results", _object(id=TEXT, removed=TRUTH), KEY, _path("job")),
        },
        "/v1/jobs/{job}/results": {
            "get": _plain(
                "job_results", "The results that are there yet",
                {"200": {"description": "A line a row.", "content": {"application/x-ndjson": {"schema": TEXT}}}, **_refusals("401", "403", "404", *COMMON)},
            )
            | {"parameters": [_path("job")], "security": KEY}
        },
    }  # fmt: skip


def _feedback() -> Json:
    """True labels."""
    from modelyard.serve.feedback import Given

    body = {"required": True, "content": {"application/json": {"schema": Given.model_json_schema()}}}
    done = _object(request_id=TEXT, recorded=WHOLE, replaced=WHOLE)
    return {**_get("feedback", "What turned out to be true of an answer", done, KEY), "requestBody": body}


def _admin() -> Json:
    """The administrator's paths."""
    from modelyard.serve.admin import NewCustomer, NewKey, Nothing, RollBack

    month = {"name": "month", "in": "query", "required": False, "schema": {"type": "string", "pattern": "^(19[7-9]|2[0-9]{2})[0-9]-(0[1-9]|1[0-2])$"}}  # fmt: skip
    form = {"name": "format", "in": "query", "required": False, "schema": {"enum": ["json", "html", "csv", "pdf"]}}
    invoice = {
        "description": "The invoice, or a preview of it.",
        "content": {"application/json": {"schema": {"type": "object"}}, "text/html": {"schema": TEXT}, "text/csv": {"schema": TEXT}, "application/pdf": {"schema": {"contentMediaType": "application/pdf"}}},
    }  # fmt: skip

    def many(name: str, what: str) -> Json:
        return _object(**{name: {"type": "array", "items": _ref(what)}})

    def get(operation: str, summary: str, schema: Json, *parameters: Json) -> Json:
        return {"get": _get(operation, summary, schema, ADMIN, *parameters)}

    def post(operation: str, summary: str, schema: Json, kind: type[Any], *parameters: Json) -> Json:
        body = {"required": False, "content": {"application/json": {"schema": kind.model_json_schema()}}}
        return {"post": {**_get(operation, summary, schema, ADMIN, *parameters), "requestBody": body}}

    done, customer, key = _object(done=TRUTH), _path("customer"), _path("key")
    free: Json = {"type": "object"}
    return {
        "/admin/live": get("admin_live", "What happens now", free),
        "/admin/models": get("admin_models", "Models and their versions", _object(models={"type": "array", "items": free})),
        "/admin/models/{model}/promote": post("promote", "Make the version that is tried the live one", done, Nothing, _path("model")),
        "/admin/models/{model}/roll-back": post("roll_back", "Take a version back", done, RollBack, _path("model")),
        "/admin/drift": get("admin_drift", "Do rows and answers still look like the training data?", _object(models={"type": "array", "items": free})),
        "/admin/quality": get("admin_quality", "How good the versions are by the labels that came back", _object(models={"type": "array", "items": free})),
        "/admin/earning": get("admin_earning", "What is earned and spent this month until now", _object(machine={"type": ["object", "null"]}, currencies={"type": "array", "items": free})),
        "/admin/plans": get("admin_plans", "Plans on offer", _object(plans={"type": "array", "items": free})),
        "/admin/customers": get("admin_customers", "Customers", many("customers", "Customer")) | post("add_customer", "Add a customer", _object(id=TEXT, name=TEXT), NewCustomer),
        "/admin/customers/{customer}/close": post("close_customer", "End a customer", done, Nothing, customer),
        "/admin/customers/{customer}/keys": get("admin_keys", "A customer's keys", many("keys", "Key"), customer) | post("issue_key", "A new key, shown this once", _ref("NewKey"), NewKey, customer),
        "/admin/keys/{key}/rotate": post("rotate_key", "A new key; the old one works for a day", _ref("NewKey"), Nothing, key),
        "/admin/keys/{key}/revoke": post("revoke_key", "Refuse a key from now on", done, Nothing, key),
        "/admin/customers/{customer}/usage": get("admin_usage", "What a customer used in a month", _ref("MonthUsage"), customer, month),
        "/admin/customers/{customer}/invoice": {
            "get": _plain("admin_invoice", "A customer's invoice", {"200": invoice, **_refusals("401", "404", *COMMON)}) | {"parameters": [customer, month, form], "security": ADMIN}
        },
    }  # fmt: skip


def _schemas() -> Json:
    """What is answered, by name."""
    key = {
        "id": TEXT, "shown": TEXT, "name": TEXT, "scopes": {"type": "array", "items": TEXT}, "created": NUMBER,
        "expires": {"type": ["number", "null"]}, "revoked": TRUTH, "ended": TRUTH,
    }  # fmt: skip
    counts = {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": WHOLE}}
    return {
        "Model": _object(id=TEXT, object=TEXT, created=WHOLE, owned_by=TEXT, version=TEXT, task=TEXT, ready=TRUTH),
        "Usage": _object(
            month=TEXT, plan={"type": ["string", "null"]}, usage=counts,
            limits={"type": "object", "additionalProperties": WHOLE},
        ),
        "Job": _object(
            id=TEXT, model=TEXT, rows=WHOLE, created=NUMBER, status={"enum": ["waiting", "running", "done", "stopped"]},
            done=WHOLE, failed=WHOLE, reason=TEXT, ended={"type": ["number", "null"]},
        ),
        "Customer": _object(id=TEXT, name=TEXT, plan=TEXT, requests=WHOLE, created=NUMBER, closed=TRUTH),
        "Key": _object(**key),
        "NewKey": _object(key=TEXT, **key),
        "MonthUsage": _object(
            month=TEXT, usage={"type": "array", "items": _object(tariff=TEXT, unit=TEXT, used=WHOLE)}
        ),
        "OpenAIError": _object(
            error={
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {"message": TEXT, "type": TEXT, "param": {"type": ["string", "null"]}, "code": TEXT},
            },
            request_id=TEXT,
        ),
    }  # fmt: skip


def _get(operation: str, summary: str, schema: Json, security: Any, *parameters: Json, shape: str = "Error") -> Json:
    """An operation that answers JSON."""
    found = {"description": "The answer.", "content": {"application/json": {"schema": schema}}}
    refused = _refusals("401", "403", "404", "499", *COMMON, accounts=security is not None, shape=shape)
    made = _plain(operation, summary, {"200": found, **refused}) | {"parameters": list(parameters)}
    return made | ({"security": security} if security is not None else {})


def _plain(operation: str, summary: str, responses: Mapping[str, Any]) -> Json:
    return {"operationId": operation, "summary": summary, "responses": {**_refusals("400", "414", "431"), **responses}}


def _refusals(*codes: str, accounts: bool = True, shape: str = "Error") -> Json:
    told = {"description": "Refused; the error says why.", "content": {"application/json": {"schema": _ref(shape)}}}
    if shape != "Error":  # refused by the front, before it is known what is asked
        told = {**told, "content": {"application/json": {"schema": {"anyOf": [_ref(shape), _ref("Error")]}}}}
    return {code: told for code in codes if accounts or code not in ("401", "403")}


def _path(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _once() -> Json:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "A name of your own for this request: repeated with it, it is answered the same and billed once.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: Any) -> Json:
    return {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": False}

"""A ready Grafana dashboard over what `/metrics` shows: requests, latency, the queue, what was sold. It knows no model.

Grafana's JSON of a dashboard, schema version 39 (Grafana 11 and later read it). A test holds each metric to a running service.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
SCHEMA = 39
WIDTH, HEIGHT = 8, 8
"""Of a panel; a dashboard is 24 wide."""
WINDOW = "[$__rate_interval]"
PREDICTING = r'path=~"/v1/(models/.+/)?predict|/v1/((chat/)?completions|embeddings)"'

Query = tuple[str, str]
"""PromQL, with JOB for the chosen services; legend."""


def _rate(metric: str, by: str = "", where: str = "") -> str:
    inside = f"{metric}{{JOB{', ' + where if where else ''}}}"
    return f"sum{f' by ({by}) ' if by else ''}(rate({inside}{WINDOW}))"


def _quantiles(metric: str, where: str = "") -> tuple[Query, ...]:
    return tuple(
        (f"histogram_quantile({q}, {_rate(f'{metric}_bucket', 'le', where)})", f"p{q * 100:g}")
        for q in (0.5, 0.95, 0.99)
    )


def _share(metric: str, where: str) -> str:
    return f"{_rate(metric, where=where)} / {_rate(metric)}"


def _mean(metric: str, by: str = "") -> str:
    return f"{_rate(f'{metric}_sum', by)} / {_rate(f'{metric}_count', by)}"


PANELS: tuple[tuple[str, str, tuple[Query, ...]], ...] = (
    ("Requests", "reqps", ((_rate("modelyard_requests_total", "path"), "{{path}}"),)),
    ("Time to answer", "s", _quantiles("modelyard_request_seconds", PREDICTING)),
    (
        "Failed and refused, share of requests",
        "percentunit",
        (
            (_share("modelyard_requests_total", 'status=~"5.."'), "failed (5xx)"),
            (_share("modelyard_requests_total", 'status=~"4.."'), "refused (4xx)"),
        ),
    ),
    ("Time in the queue", "s", _quantiles("modelyard_queue_seconds")),
    (
        "Requests in flight, and not answered",
        "short",
        (("sum(modelyard_in_flight{JOB})", "in flight"), (_rate("modelyard_dropped_total", "reason"), "{{reason}} a second")),
    ),
    (
        "Rows in a batch, mean",
        "short",
        ((_mean("modelyard_batch_rows"), "rows"),),
    ),
    (
        "Where the time goes, mean",
        "s",
        ((_mean("modelyard_stage_seconds", "stage"), "{{stage}}"),),
    ),
    ("Rows answered", "rowsps", ((_rate("modelyard_rows_total"), "rows"),)),
    ("Units sold, a second", "short", ((_rate("modelyard_units_total", "unit"), "{{unit}}"),)),
    (
        "Tokens, a second",
        "short",
        ((_rate("modelyard_completion_tokens_total"), "written"), (_rate("modelyard_prompt_tokens_total"), "read")),
    ),
    ("Time to the first token", "s", _quantiles("modelyard_first_token_seconds")),
    (
        "Drift: how far the last window of rows was off",
        "short",
        (("max by (model, version) (modelyard_drift_statistic{JOB})", "{{model}} {{version}}"),),
    ),
    (
        "Drift: windows that drifted, and rows not watched",
        "short",
        (
            ('sum by (model) (increase(modelyard_drift_windows_total{JOB, drift="true"}[1h]))', "{{model}}: windows in an hour"),
            (_rate("modelyard_drift_rows_dropped_total", "model"), "{{model}}: rows a second"),
        ),
    ),
    ("Memory of a process", "bytes", (("process_resident_memory_bytes{JOB}", "{{instance}}"),)),
)  # fmt: skip
"""Title, Grafana's unit, queries."""


def dashboard(name: str) -> Json:
    """The dashboard of a service, as Grafana imports it."""
    source = {"type": "prometheus", "uid": "${source}"}
    panels = [
        {
            "id": number + 1,
            "type": "timeseries",
            "title": title,
            "datasource": source,
            "gridPos": {"x": number % 3 * WIDTH, "y": number // 3 * HEIGHT, "w": WIDTH, "h": HEIGHT},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": {"showPoints": "never"}}, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
            "targets": [
                {
                    "refId": "ABC"[place],
                    "datasource": source,
                    "expr": query.replace("JOB", 'job=~"$job"'),
                    "legendFormat": legend,
                }
                for place, (query, legend) in enumerate(queries)
            ],
        }
        for number, (title, unit, queries) in enumerate(PANELS)
    ]
    choices = [
        {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        {
            "name": "job",
            "type": "query",
            "label": "Service",
            "datasource": source,
            "query": {"query": "label_values(modelyard_requests_total, job)", "refId": "job"},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
        },
    ]
    return {
        "title": f"Modelyard: {name}",
        "uid": f"modelyard-{name}"[:40],  # Grafana's longest
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "tags": ["modelyard"],
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "15s",
        "templating": {"list": choices},
        "annotations": {"list": []},
        "panels": panels,
    }

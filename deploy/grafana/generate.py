#!/usr/bin/env python3
"""Writes the dashboards: python3 deploy/grafana/generate.py [FOLDER]. Change them here, never in their JSON.

Classic JSON, schema 39: what Grafana 11 to 13 load without a migration of these panels. A panel is a line of `BOARDS`; what
panels have in common is below. Needs Python 3.9 and nothing else.
"""

import json
import sys
from pathlib import Path

SOURCE = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
WIDTH = 24


def stat(title, expr, unit="short", good=None, bad=None, says=""):
    """One figure. From `good` on it is green (`bad`: from there on it is red)."""
    steps = [{"color": "text", "value": None}]
    if good is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": good}]
    elif bad is not None:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": bad}]
    return {
        "type": "stat", "title": title, "description": says, "size": (4, 4), "targets": [(expr, "")],
        "fieldConfig": {"defaults": {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}}, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value",
                    "graphMode": "area", "justifyMode": "auto", "orientation": "auto", "textMode": "auto", "wideLayout": True,
                    "showPercentChange": False, "percentChangeColorMode": "standard"},
    }


def lines(title, *targets, unit="short", stacked=False, limit=None, says="", width=12):
    """Lines over time; each target is an expression and its legend. At `limit` there is a red line."""
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 25 if stacked else 8, "showPoints": "never",
              "spanNulls": False, "stacking": {"group": "A", "mode": "normal" if stacked else "none"}}
    defaults = {"unit": unit, "min": 0, "custom": custom}
    if limit is not None:
        custom["thresholdsStyle"] = {"mode": "line"}
        defaults["thresholds"] = {"mode": "absolute",
                                  "steps": [{"color": "transparent", "value": None}, {"color": "red", "value": limit}]}
    return {
        "type": "timeseries", "title": title, "description": says, "size": (width, 8), "targets": list(targets),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                    "tooltip": {"mode": "multi", "sort": "desc"}},
    }


def quantiles(metric, by="", where=""):
    """Median, 95th and 99th percentile of a histogram."""
    group, legend = (f"{by}, le", f"{{{{{by}}}}} ") if by else ("le", "")
    return [(f"histogram_quantile({q}, sum by ({group}) (rate({metric}_bucket{where}[$__rate_interval])))", f"{legend}p{p}")
            for q, p in ((0.5, 50), (0.95, 95), (0.99, 99))]


def percentile(metric, by, q=0.95):
    return (f"histogram_quantile({q}, sum by ({by}, le) (rate({metric}_bucket[$__rate_interval])))", f"{{{{{by}}}}}")


def rate(metric, by, where="", legend=None):
    labels = legend or " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return (f"sum by ({by}) (rate({metric}{where}[$__rate_interval]))", labels)


TYPE = '{type=~"$type"}'

BOARDS = {
    "overview": ("Overview", False, [
        "Does it work?",
        stat("Schedulers that lead", "sum(isochrone_scheduler_leader)", good=1),
        stat("Heartbeat's age", "max(isochrone_heartbeat_age_seconds)", "s", bad=180,
             says="Since something last travelled the whole pipe: store, outbox, broker, worker, store."),
        stat("Fires late, 1 h", "isochrone:fire_late_ratio:1h", "percentunit", bad=0.001,
             says="Later than 10 s. The promise is at most 0.1 %."),
        stat("Fires missed, 24 h",
             'sum(increase(isochrone_fires_total{outcome="skipped",reason="skipped_misfire"}[24h])) or vector(0)', bad=1),
        stat("Runs that wait", "sum(isochrone_runs_queued)"),
        stat("Runs in progress", "sum(isochrone_runs_in_progress)"),
        lines("Fires", rate("isochrone_fires_total", "outcome"), unit="cps", stacked=True),
        lines("Runs that ended", rate("isochrone_runs_total", "outcome"), unit="cps", stacked=True),
        lines("Lateness of fires", *quantiles("isochrone_fire_lateness_seconds"), unit="s", limit=10),
        lines("Wait until a worker starts", *quantiles("isochrone_run_queue_wait_seconds"), unit="s", limit=300),
        "Alerts and processes",
        lines("Alerts", ('sum by (alertname) (ALERTS{alertname!="",alertstate="firing"})', "{{alertname}}"), stacked=True),
        lines("Processes by version", ("sum by (version) (isochrone_build_info)", "{{version}}"), stacked=True),
    ]),
    "types": ("Task types", True, [
        "Fires",
        lines("Fires by reason", rate("isochrone_fires_total", "type, reason", TYPE), unit="cps", stacked=True),
        lines("Lateness, 99th percentile", percentile("isochrone_fire_lateness_seconds", "type", 0.99), unit="s", limit=10),
        "Runs",
        lines("Runs that ended", rate("isochrone_runs_total", "type, outcome", TYPE), unit="cps", stacked=True),
        lines("Share that failed, 1 h", ('isochrone:run_failure_ratio:1h{type=~"$type"}', "{{type}}"), unit="percentunit",
              limit=0.3),
        lines("Length of a run", *quantiles("isochrone_run_duration_seconds", "type", TYPE), unit="s"),
        lines("Since the last success",
              ('time() - max by (type) (isochrone_last_success_timestamp_seconds{type=~"$type"})', "{{type}}"), unit="s"),
        "Attempts",
        lines("Attempts by result", rate("isochrone_run_attempts_total", "type, result", TYPE), unit="cps", stacked=True),
        lines("Retries", rate("isochrone_run_retries_total", "type", TYPE), unit="cps"),
    ]),
    "queue": ("Queue and workers", True, [
        "What there is to do",
        lines("Runs that wait", (f"sum by (type) (isochrone_runs_queued{TYPE})", "{{type}}"), stacked=True),
        lines("Runs in progress", (f"sum by (type) (isochrone_runs_in_progress{TYPE})", "{{type}}"), stacked=True),
        lines("Wait until a worker starts, 95th percentile", percentile("isochrone_run_queue_wait_seconds", "type"), unit="s",
              limit=300),
        lines("Waiting and running", ('isochrone:runs_waiting_or_running:sum{type=~"$type"}', "{{type}}"),
              says="By this figure workers are scaled."),
        "Workers",
        lines("Slots in use", (f"sum by (type) (isochrone_runs_in_progress{TYPE}) / (sum by (type) (isochrone_worker_slots{TYPE}) > 0)",
                               "{{type}}"), unit="percentunit"),
        lines("Workers that take runs", (f"sum by (type) (isochrone_consumers{TYPE})", "{{type}}")),
        lines("Leases lost, writes refused", ("sum(increase(isochrone_leases_lost_total[$__rate_interval]))", "leases lost"),
              ("sum(increase(isochrone_fenced_writes_total[$__rate_interval]))", "writes refused")),
        lines("Renewal of leases", *quantiles("isochrone_lease_renew_seconds"), unit="s"),
        "Processes",
        lines("Memory", ("process_resident_memory_bytes and on (instance) isochrone_build_info", "{{instance}}"), unit="bytes"),
        lines("Processors", ("rate(process_cpu_seconds_total[$__rate_interval]) and on (instance) isochrone_build_info", "{{instance}}")),
    ]),
    "broker": ("Broker and store", False, [
        "Broker",
        stat("Connected", "min(isochrone_broker_connected)", good=1, says="1: every process is."),
        stat("Blocked", "max(isochrone_broker_blocked)", bad=1),
        stat("Outbox", "sum(isochrone_outbox_pending)", says="Queued runs that the queue has not been told of."),
        stat("Oldest in the outbox", "max(isochrone_outbox_oldest_seconds)", "s", bad=60),
        stat("Dead letters, 24 h", "sum(increase(isochrone_dead_letters_total[24h])) or vector(0)", bad=1),
        stat("Connections made anew, 24 h", "sum(increase(isochrone_broker_reconnects_total[24h])) or vector(0)"),
        lines("Published", rate("isochrone_publish_total", "result"), unit="cps", stacked=True),
        lines("Until the broker confirms", *quantiles("isochrone_publish_confirm_seconds"), unit="s"),
        lines("The outbox's oldest", ("max(isochrone_outbox_oldest_seconds)", "oldest"), unit="s", limit=60),
        lines("Delivered again", rate("isochrone_redelivered_total", "type"), unit="cps"),
        "Store",
        lines("Reachable", ("isochrone_store_up", "{{instance}}")),
        lines("Keeps what it acknowledges", ("isochrone_store_durable", "{{instance}}")),
        lines("Clock less the store's", ("isochrone_clock_offset_seconds", "{{instance}}"), unit="s"),
        lines("Operations", rate("isochrone_store_operation_seconds_count", "operation"), unit="ops"),
        lines("Length of an operation, 95th percentile", percentile("isochrone_store_operation_seconds", "operation"), unit="s"),
    ]),
    "api": ("API", False, [
        "Requests",
        stat("Errors of the server, 5 min", "isochrone:http_error_ratio:5m", "percentunit", bad=0.05),
        stat("Sign-ins that failed, 1 h", "sum(increase(isochrone_auth_failures_total[1h])) or vector(0)"),
        stat("A certificate ends in", "min(isochrone_certificate_expiry_timestamp_seconds) - time()", "s", good=14 * 86400),
        lines("Requests by code", rate("isochrone_http_requests_total", "code"), unit="reqps", stacked=True),
        lines("Requests by route", rate("isochrone_http_requests_total", "route, method"), unit="reqps", stacked=True),
        lines("Length of a request", *quantiles("isochrone_http_request_duration_seconds"), unit="s"),
        lines("Length by route, 95th percentile", percentile("isochrone_http_request_duration_seconds", "route"), unit="s"),
        "Sign-ins and other servers",
        lines("Refused", rate("isochrone_auth_failures_total", "kind"), unit="cps"),
        lines("Requests to other servers", rate("isochrone_upstream_requests_total", "kind, code_class"), unit="reqps", stacked=True),
    ]),
}


def variables(by_type):
    source = {"name": "DS_PROMETHEUS", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0,
              "includeAll": False, "multi": False, "refresh": 1, "regex": "", "options": [],
              "current": {"text": "", "value": ""}}
    kind = {"name": "type", "label": "Type", "type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1, "hide": 0,
            "includeAll": True, "allValue": ".*", "multi": True,
            "query": {"query": "label_values(isochrone_worker_slots, type)", "refId": "type"}, "regex": "", "options": [],
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
    return [source, kind] if by_type else [source]


def laid_out(parts):
    """Panels in rows from left to right, with ids and places."""
    panels, x, y, height = [], 0, 0, 0
    for number, part in enumerate(parts, start=1):
        if isinstance(part, str):
            y, x = y + height, 0
            panels.append({"id": number, "type": "row", "title": part, "collapsed": False, "panels": [],
                           "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y}})
            y, height = y + 1, 0
            continue
        part = dict(part)
        w, h = part.pop("size")
        if x + w > WIDTH or (x > 0 and h != height):
            x, y = 0, y + height
        targets = [{"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expr, "legendFormat": legend or "__auto",
                    "editorMode": "code", "range": True} for i, (expr, legend) in enumerate(part.pop("targets"))]
        panels.append({"id": number, **part, "datasource": SOURCE, "targets": targets,
                       "gridPos": {"h": h, "w": w, "x": x, "y": y}})
        x, height = x + w, h
    return panels


def dashboard(name, title, by_type, parts):
    return {
        "id": None, "uid": f"isochrone-{name}", "title": f"Isochrone: {title}", "tags": ["isochrone"], "schemaVersion": 39,
        "version": 1, "editable": False, "graphTooltip": 1, "refresh": "30s", "timezone": "browser", "weekStart": "",
        "time": {"from": "now-6h", "to": "now"}, "timepicker": {}, "fiscalYearStartMonth": 0, "liveNow": False,
        "annotations": {"list": []}, "templating": {"list": variables(by_type)},
        "links": [{"type": "dashboards", "title": "Isochrone", "tags": ["isochrone"], "asDropdown": True, "icon": "external link",
                   "includeVars": False, "keepTime": True, "targetBlank": False, "tooltip": "", "url": ""}],
        "panels": laid_out(parts),
    }


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "dashboards"
    folder.mkdir(parents=True, exist_ok=True)
    for name, (title, by_type, parts) in BOARDS.items():
        text = json.dumps(dashboard(name, title, by_type, parts), indent=2, ensure_ascii=False)
        (folder / f"isochrone-{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

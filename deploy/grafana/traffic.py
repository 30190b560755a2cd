"""The dashboard *traffic*: how many calls there are, how they end, how long they take, and how much room is left."""

from deploy.grafana.panels import Board, Panel, Query, Row
from deploy.grafana.queries import ACCEPTED, FAILED, RPC, TRY, WAIT, WORK, or_zero, per_call, quantile, total

__all__ = ["TRAFFIC"]

TRAFFIC = Board(
    "traffic",
    "Celeste: traffic",
    "How many calls there are, how they end, how long they take, and how much room is left.",
    [
        Row(
            "Objective: 99.9 % of accepted calls in 28 days",
            [
                Panel(
                    "Availability, 28 days",
                    [Query(f"1 - sum({FAILED}) / sum({ACCEPTED})")],
                    "percentunit",
                    "Share of the accepted calls that did not fail by a fault of the server. Faults of providers and "
                    "callers, refusals and deadlines are left out. It needs 28 days of storage in Prometheus.",
                    "stat",
                    6,
                    warn=0.999,
                    bad_below=True,
                ),
                Panel(
                    "Error budget left, 28 days",
                    [Query(f"1 - sum({FAILED}) / sum({ACCEPTED}) / 0.001")],
                    "percentunit",
                    "1 means that no accepted call failed by a fault of the server; 0 that one in a thousand did.",
                    "stat",
                    6,
                    warn=0,
                    bad_below=True,
                ),
                Panel(
                    "How fast the budget burns",
                    [
                        Query('job:celeste_slo_errors:ratio1h{job=~"$job"} / 0.001', "{{job}} 1 h"),
                        Query('job:celeste_slo_errors:ratio6h{job=~"$job"} / 0.001', "{{job}} 6 h"),
                    ],
                    "short",
                    "At 1 the budget lasts exactly 28 days. Alerts come at 14 for 1 h and at 6 for 6 h.",
                    width=12,
                ),
            ],
        ),
        Row(
            "Calls",
            [
                Panel(
                    "Calls by outcome",
                    [Query('sum by (outcome) (job:celeste_calls:rate5m{job=~"$job"})', "{{outcome}}")],
                    "reqps",
                    "`provider` shows the faults of providers apart. recording.yml has the reasons of each outcome.",
                    width=12,
                    stacked=True,
                ),
                Panel(
                    "Failed calls by reason",
                    [Query(total("celeste_rpc_errors_total", "SERVERS", "error_type"), "{{error_type}}")],
                    "reqps",
                    "docs/errors.md has the reasons.",
                    width=12,
                ),
                Panel(
                    "Duration of calls that make images",
                    [
                        Query(quantile(0.5, RPC, f"SERVERS, {WORK}"), "median", exemplars=True),
                        Query(quantile(0.95, RPC, f"SERVERS, {WORK}"), "p95"),
                        Query(quantile(0.99, RPC, f"SERVERS, {WORK}"), "p99"),
                    ],
                    "s",
                    "From the arrival of a call to its last byte. Marks are traced calls.",
                    width=12,
                ),
                Panel(
                    "Where the time of a call goes",
                    [
                        Query(per_call(f"{WAIT}_sum", "SERVERS"), "waiting for a slot"),
                        Query(per_call(f"{TRY}_sum", "SERVERS"), "provider"),
                        Query(
                            f"clamp_min(({total(f'{RPC}_sum', f'SERVERS, {WORK}')}"
                            f" - {total(f'{WAIT}_sum', 'SERVERS')} - {total(f'{TRY}_sum', 'SERVERS')})"
                            f" / {total(f'{RPC}_count', f'SERVERS, {WORK}')}, 0)",
                            "Celeste",
                        ),
                    ],
                    "s",
                    "Means. Tries of one call that run side by side count each, so the parts can exceed the duration.",
                    width=12,
                    stacked=True,
                ),
                Panel(
                    "Calls by method",
                    [Query(total(f"{RPC}_count", "SERVERS", "rpc_method"), "{{rpc_method}}")],
                    "reqps",
                ),
                Panel(
                    "Calls that are being handled",
                    [Query("sum by (rpc_method) (celeste_rpc_active{SERVERS})", "{{rpc_method}}")],
                    stacked=True,
                ),
                Panel(
                    "Bytes",
                    [
                        Query(total("celeste_rpc_received_bytes_total", "SERVERS"), "received"),
                        Query(total("celeste_rpc_sent_bytes_total", "SERVERS"), "sent"),
                    ],
                    "Bps",
                    "Messages of calls, without HTTP/2 and TLS.",
                ),
            ],
        ),
        Row(
            "Images",
            [
                Panel(
                    "Images",
                    [
                        Query(
                            total("celeste_images_total", "SERVERS", "gen_ai_operation_name"),
                            "{{gen_ai_operation_name}}",
                        )
                    ],
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "Pixels and bytes of images",
                    [
                        Query(total("celeste_images_pixels_total", "SERVERS"), "pixels"),
                        Query(total("celeste_images_size_bytes_total", "SERVERS"), "bytes"),
                    ],
                ),
                Panel(
                    "Verdicts of the safety policy",
                    [
                        Query(
                            total("celeste_safety_verdicts_total", "SERVERS", "stage, category, action"),
                            "{{stage}} {{category}} {{action}}",
                        )
                    ],
                    "ops",
                ),
            ],
        ),
        Row(
            "Room",
            [
                Panel(
                    "Memory that calls hold",
                    [
                        Query(
                            "celeste_budget_held_bytes{SERVERS} / celeste_budget_limit_bytes{SERVERS}",
                            "{{instance}} {{budget}}",
                        )
                    ],
                    "percentunit",
                    "At 1, calls wait for memory, and are refused with MEMORY_BUDGET after some seconds.",
                ),
                Panel(
                    "Calls that wait for memory", [Query("celeste_budget_waiting{SERVERS}", "{{instance}} {{budget}}")]
                ),
                Panel(
                    "Room in the artifact store",
                    [Query("celeste_store_free_bytes{SERVERS}", "{{instance}}")],
                    "bytes",
                    "Without the reserve. At 0, calls are refused with STORAGE_FULL. An object store shows none.",
                ),
                Panel(
                    "Operations of the artifact store, p95",
                    [
                        Query(
                            quantile(0.95, "celeste_store_operation_duration_seconds", "SERVERS", "operation"),
                            "{{operation}}",
                        )
                    ],
                    "s",
                ),
                Panel(
                    "Delay of the event loop",
                    [Query("celeste_loop_delay_seconds{SERVERS}", "{{instance}}")],
                    "s",
                    "The longest of the last minute. While the loop stands still, nothing is answered.",
                ),
                Panel(
                    "Memory of the process",
                    [
                        Query(
                            "process_resident_memory_bytes{SERVERS} and on (job, instance) celeste_build_info",
                            "{{instance}}",
                        )
                    ],
                    "bytes",
                    "The server alone, without its worker processes.",
                ),
                Panel(
                    "CPU time of the process",
                    [
                        Query(
                            "rate(process_cpu_seconds_total{SERVERS}[$__rate_interval])"
                            " and on (job, instance) celeste_build_info",
                            "{{instance}}",
                        )
                    ],
                    "percentunit",
                    "1 is one core. The server alone, without its worker processes.",
                ),
                Panel(
                    "Open files",
                    [
                        Query(
                            "process_open_fds{SERVERS} / process_max_fds{SERVERS}"
                            " and on (job, instance) celeste_build_info",
                            "{{instance}}",
                        )
                    ],
                    "percentunit",
                ),
                Panel(
                    "Changes of the configuration",
                    [
                        Query(
                            "sum by (instance, outcome) (celeste_config_reloads_total{SERVERS})",
                            "{{instance}} {{outcome}}",
                        )
                    ],
                    text="Since the start of the server.",
                ),
            ],
        ),
        Row(
            "Cache of results",
            [
                Panel(
                    "Requests by what the cache did",
                    [Query(or_zero(total("celeste_cache_requests_total", "SERVERS", "outcome")), "{{outcome}}")],
                    "ops",
                    "0 while the cache is off.",
                    stacked=True,
                ),
                Panel(
                    "Results by origin",
                    [Query(total("celeste_results_total", "SERVERS", "source"), "{{source}}")],
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "Cached bytes",
                    [
                        Query(or_zero('max(celeste_cache_size_bytes{SERVERS, tier="rows"})'), "results"),
                        Query(or_zero('sum(celeste_cache_size_bytes{SERVERS, tier="memory"})'), "in memory"),
                    ],
                    "bytes",
                ),
                Panel(
                    "Results that were stored and removed",
                    [
                        Query(or_zero(total("celeste_cache_stored_total", "SERVERS")), "stored"),
                        Query(or_zero(total("celeste_cache_evicted_total", "SERVERS", "reason")), "{{reason}}"),
                        Query(or_zero(total("celeste_cache_errors_total", "SERVERS")), "errors"),
                    ],
                    "ops",
                ),
            ],
        ),
    ],
)

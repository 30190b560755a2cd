"""The dashboard *engines*: what the worker processes of this machine do, from local models to decoders."""

from deploy.grafana.panels import Board, Panel, Query, Row
from deploy.grafana.queries import TRY, quantile, total

__all__ = ["ENGINES"]

POOL = 'SERVERS, pool=~"$pool"'
ENGINES = Board(
    "engines",
    "Celeste: engines",
    "What the worker processes of this machine do: local models, decoders and pixel work.",
    [
        Row(
            "Worker processes",
            [
                Panel(
                    "Processes",
                    [Query(f"sum by (pool, state) (celeste_workers{{{POOL}}})", "{{pool}} {{state}}")],
                    stacked=True,
                ),
                Panel(
                    "Tasks that wait for a process",
                    [Query(f"sum by (pool) (celeste_workers_waiting{{{POOL}}})", "{{pool}}")],
                ),
                Panel(
                    "Processes that ended",
                    [Query(total("celeste_worker_ends_total", POOL, "pool, reason"), "{{pool}} {{reason}}")],
                    "ops",
                    "`idle`, `closed` and `weights` are as it should be. `crashed`, `late` and `malformed` are not.",
                ),
            ],
        ),
        Row(
            "Tasks",
            [
                Panel(
                    "Tasks",
                    [
                        Query(
                            total("celeste_worker_task_duration_seconds_count", POOL, "pool, error_type"),
                            "{{pool}} {{error_type}}",
                        )
                    ],
                    "ops",
                    "Without a reason: success.",
                ),
                Panel(
                    "Duration of a task, median",
                    [
                        Query(
                            quantile(0.5, "celeste_worker_task_duration_seconds", POOL, "pool"),
                            "{{pool}}",
                            exemplars=True,
                        )
                    ],
                    "s",
                ),
                Panel(
                    "Duration of a task, p95",
                    [
                        Query(
                            quantile(0.95, "celeste_worker_task_duration_seconds", POOL, "pool"),
                            "{{pool}}",
                            exemplars=True,
                        )
                    ],
                    "s",
                ),
                Panel(
                    "Processes that work all the time",
                    [Query(total("celeste_worker_task_duration_seconds_sum", POOL, "pool"), "{{pool}}")],
                    text="Seconds of work in a second: the mean number of busy processes.",
                    width=12,
                    stacked=True,
                ),
                Panel(
                    "Local models, p95",
                    [
                        Query(
                            quantile(0.95, TRY, 'SERVERS, gen_ai_provider_name="local"', "gen_ai_request_model"),
                            "{{gen_ai_request_model}}",
                        )
                    ],
                    "s",
                    width=12,
                ),
            ],
        ),
    ],
    [("pool", 'label_values(celeste_workers{job=~"$job"}, pool)')],
)

"""The dashboard *providers*: which provider fails, is slow, or has a queue; which models end."""

from deploy.grafana.panels import Board, Panel, Query, Row
from deploy.grafana.queries import TRY, WAIT, quantile, total

__all__ = ["PROVIDERS"]

PROVIDER = 'SERVERS, gen_ai_provider_name=~"$provider"'

PROVIDERS = Board(
    "providers",
    "Celeste: providers",
    "Which provider fails, is slow, or has a queue; which models end.",
    [
        Row(
            "State",
            [
                Panel(
                    "Tries that fail",
                    [
                        Query(
                            'job_provider:celeste_failed_tries:ratio5m{job=~"$job", gen_ai_provider_name=~"$provider"}',
                            "{{gen_ai_provider_name}}",
                        )
                    ],
                    "percentunit",
                    "Share of the tries of 5 minutes that failed by a fault of the provider.",
                    width=12,
                ),
                Panel(
                    "Tries by result",
                    [
                        Query(
                            total(f"{TRY}_count", PROVIDER, "gen_ai_provider_name, error_type"),
                            "{{gen_ai_provider_name}} {{error_type}}",
                        )
                    ],
                    "reqps",
                    "Without a reason: success.",
                    width=12,
                ),
                Panel(
                    "Providers with a usable model",
                    [Query(f"min by (gen_ai_provider_name) (celeste_provider_ready{{{PROVIDER}}})")],
                    kind="table",
                    text="0 means that no model can be used: no key, no weights, or no such server.",
                    warn=1,
                    bad_below=True,
                ),
                Panel(
                    "Models that end",
                    [
                        Query(
                            "sort(min by (gen_ai_provider_name, gen_ai_request_model)"
                            f" (celeste_model_shutdown_seconds{{{PROVIDER}}}))"
                        )
                    ],
                    "s",
                    "Time until the vendor ends a model; negative from then on.",
                    "table",
                    warn=2592000,
                    bad_below=True,
                ),
                Panel(
                    "Retries",
                    [
                        Query(
                            total("celeste_provider_retries_total", PROVIDER, "gen_ai_provider_name, error_type"),
                            "{{gen_ai_provider_name}} {{error_type}}",
                        )
                    ],
                    "reqps",
                    "Tries that follow a failed one at the same provider.",
                ),
            ],
        ),
        Row(
            "Time",
            [
                Panel(
                    "Duration of a try, median",
                    [
                        Query(
                            quantile(0.5, TRY, PROVIDER, "gen_ai_request_model"),
                            "{{gen_ai_request_model}}",
                            exemplars=True,
                        )
                    ],
                    "s",
                    "Without the wait for a slot. Marks are traced calls.",
                ),
                Panel(
                    "Duration of a try, p95",
                    [
                        Query(
                            quantile(0.95, TRY, PROVIDER, "gen_ai_request_model"),
                            "{{gen_ai_request_model}}",
                            exemplars=True,
                        )
                    ],
                    "s",
                ),
                Panel(
                    "Wait for a slot, p95",
                    [Query(quantile(0.95, WAIT, PROVIDER, "gen_ai_provider_name"), "{{gen_ai_provider_name}}")],
                    "s",
                ),
                Panel(
                    "Longest wait in the queue now",
                    [
                        Query(
                            f"max by (gen_ai_provider_name) (celeste_provider_queue_age_seconds{{{PROVIDER}}})",
                            "{{gen_ai_provider_name}}",
                        )
                    ],
                    "s",
                ),
                Panel(
                    "Tries in the queue",
                    [
                        Query(
                            f"sum by (gen_ai_provider_name) (celeste_provider_queue_depth{{{PROVIDER}}})",
                            "{{gen_ai_provider_name}}",
                        )
                    ],
                    stacked=True,
                ),
                Panel(
                    "Slots in use",
                    [
                        Query(
                            f"sum by (gen_ai_provider_name) (celeste_provider_active{{{PROVIDER}}})"
                            f" / sum by (gen_ai_provider_name) (celeste_provider_places{{{PROVIDER}}})",
                            "{{gen_ai_provider_name}}",
                        )
                    ],
                    "percentunit",
                    "At 1, further tries wait. The setting `concurrency` of a provider is the number of its slots.",
                ),
            ],
        ),
        Row(
            "Images and requests",
            [
                Panel(
                    "Images by model",
                    [
                        Query(
                            total("celeste_images_total", PROVIDER, "gen_ai_request_model"), "{{gen_ai_request_model}}"
                        )
                    ],
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "Images that were not made",
                    [
                        Query(
                            total("celeste_images_failed_total", PROVIDER, "gen_ai_provider_name, error_type"),
                            "{{gen_ai_provider_name}} {{error_type}}",
                        )
                    ],
                    "ops",
                    "Images that are missing in a call that made others.",
                ),
                Panel(
                    "Answers of vendors",
                    [
                        Query(
                            total(
                                "http_client_request_duration_seconds_count",
                                "SERVERS",
                                "server_address, http_response_status_code, error_type",
                            ),
                            "{{server_address}} {{http_response_status_code}} {{error_type}}",
                        )
                    ],
                    "reqps",
                    "HTTP statuses. `_OTHER` is a host that a caller named.",
                ),
                Panel(
                    "HTTP requests, p95",
                    [
                        Query(
                            quantile(
                                0.95,
                                "http_client_request_duration_seconds",
                                "SERVERS",
                                "server_address, http_request_method",
                            ),
                            "{{http_request_method}} {{server_address}}",
                            exemplars=True,
                        )
                    ],
                    "s",
                ),
            ],
        ),
    ],
    [("provider", 'label_values(celeste_provider_ready{job=~"$job"}, gen_ai_provider_name)')],
)

"""PromQL that the dashboards' panels share. `SERVERS` stands for the servers that a reader of the dashboard chose."""

__all__ = ["ACCEPTED", "FAILED", "RPC", "TRY", "WAIT", "WORK", "per_call", "quantile", "total"]

RPC = "rpc_server_call_duration_seconds"
TRY = "gen_ai_client_operation_duration_seconds"
WAIT = "celeste_provider_wait_duration_seconds"
WORK = 'rpc_method=~"celeste.image.v1.ImageService/.+"'
"""The calls that make images."""
ACCEPTED = 'avg_over_time(job:celeste_calls:rate5m{job=~"$job", outcome=~"ok|server"}[28d])'
FAILED = 'avg_over_time(job:celeste_calls:rate5m{job=~"$job", outcome="server"}[28d])'


def quantile(share: float, name: str, labels: str, by: str = "") -> str:
    """Returns the query of a quantile of a histogram.

    Args:
        share: 0.5 for the median.
        name: The histogram, without `_bucket`.
        labels: The selection of time series.
        by: Labels to tell apart, with commas.
    """
    split = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({split}) (rate({name}_bucket{{{labels}}}[$__rate_interval])))"


def total(name: str, labels: str, by: str = "") -> str:
    """Returns the query of a counter's rate, summed up by labels."""
    split = f" by ({by})" if by else ""
    return f"sum{split} (rate({name}{{{labels}}}[$__rate_interval]))"


def or_zero(query: str) -> str:
    """Returns a query that is 0 where nothing was counted yet, as by a part of the server that is off."""
    return f"{query} or vector(0)"


def per_call(name: str, labels: str) -> str:
    """Returns the query of a sum of seconds for each call that makes images."""
    return f"{total(name, labels)} / {total(f'{RPC}_count', f'SERVERS, {WORK}')}"

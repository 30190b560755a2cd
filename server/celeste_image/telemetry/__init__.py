"""Telemetry: logs, traces and metrics. Every instrument of the metrics is declared in `instruments.py`."""

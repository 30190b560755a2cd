"""Speed and memory of the gateway, measured side by side with others: `python -m bench.speed`."""

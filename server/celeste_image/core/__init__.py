"""The domain as plain values: requests, events, results, model cards and errors. Standard library only."""

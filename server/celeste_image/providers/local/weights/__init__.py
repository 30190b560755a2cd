"""Weights of local models: where they come from, and where they are installed."""

"""Fidelity: fits a request to its model before the call, and reports on each field after it."""

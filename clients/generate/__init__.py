"""Generates code from `proto/` for each language. Run by `make generate`, in a separate environment."""

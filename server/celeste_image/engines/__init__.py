"""What the worker processes run: one module per engine, each with one `run`."""

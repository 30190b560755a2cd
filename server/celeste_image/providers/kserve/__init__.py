"""Servers of the open inference protocol, KServe and Triton among them: see `provider`."""

"""Sandboxed worker processes: a hang, a crash or a memory leak in one never takes the server down."""

"""The gRPC server: its servicers, and the wrappers of calls. No other package knows the server of gRPC."""

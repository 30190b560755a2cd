"""Core values to protobuf and back, written once, for server and client alike."""

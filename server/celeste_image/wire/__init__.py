"""Conversion between core values and protobuf, shared by server and client."""

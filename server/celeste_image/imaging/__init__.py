"""Encoded images: checking and decoding foreign ones, changing pixels, reading and writing metadata."""

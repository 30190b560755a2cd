"""Encoded images: what they are, whether they can be trusted, and work on their pixels and metadata."""

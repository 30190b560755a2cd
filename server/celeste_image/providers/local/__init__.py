"""Engines on this machine: no key, no internet. Importing this package imports none of them."""

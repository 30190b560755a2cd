"""Vendors: one file per API. Vendor files do not import each other, except `azure_openai`, which imports `openai`."""

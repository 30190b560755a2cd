"""Families: the request and answer formats that the APIs of several vendors share."""

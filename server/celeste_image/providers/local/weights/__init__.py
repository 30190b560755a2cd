"""Weights of local models: download from packages and model hubs, installation, archives for offline machines."""

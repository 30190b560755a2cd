"""Provider for inference servers, such as KServe and Triton, that speak the open inference protocol: see `provider`."""

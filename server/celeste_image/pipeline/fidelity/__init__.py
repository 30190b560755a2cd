"""What becomes of each field of a request: fitted to the model before the call, measured on the result after it."""

"""Image engines: code that runs in worker processes. Each module has one function, `run(task, pictures, emit)`."""

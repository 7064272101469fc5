"""Training past memory: how fast, in how much memory, and how it grows. `python -m benchmarks.scale --help`."""

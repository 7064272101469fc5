"""The server under load, measured from outside; see `python -m benchmarks.serving --help`."""

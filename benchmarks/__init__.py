"""Benchmarks: what syncd costs, measured against its targets. `python -m benchmarks --help`."""

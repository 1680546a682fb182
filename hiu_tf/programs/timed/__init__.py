"""Parts timed by tools/benchmark.py, one module each."""

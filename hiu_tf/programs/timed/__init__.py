"""What tools/benchmark.py times, one module each."""

"""One data set: reader.py reads it, README.md is its data card."""

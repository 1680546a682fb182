"""Programs for people who make a model; each has --help with examples."""

"""The commands of `hiu` that use a model: a file for each, with its options and the function that runs it."""

"""Shared definitions: the skeleton and the dictionary keys."""

#: Default name of a model on a TF Serving server.
SERVER_MODEL = "hiu"

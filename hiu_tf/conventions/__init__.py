"""Names that everything else agrees on: the skeleton and the dictionary keys."""

#: The name of a model on a TF Serving server, unless another is given.
SERVER_MODEL = "hiu"

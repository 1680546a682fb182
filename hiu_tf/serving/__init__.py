"""TF Serving: clients for its REST and gRPC interfaces, and the files that a server starts with."""

#: The name of a model on a server, unless another is given.
SERVER_MODEL = "hiu"

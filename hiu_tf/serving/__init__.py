"""TF Serving: clients for its REST and gRPC interfaces, and the files that a server starts with."""

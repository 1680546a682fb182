"""TF Serving: clients for its REST and gRPC interfaces, and configuration files for the server."""

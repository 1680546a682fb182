"""Windows, cameras, alignment and meshes in NumPy; `tensor/` has the TensorFlow versions for networks and pipelines."""

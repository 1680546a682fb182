"""Windows, cameras, alignment, meshes in NumPy; `tensor/` has what networks and pipelines need in TensorFlow."""

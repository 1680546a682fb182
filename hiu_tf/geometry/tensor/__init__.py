"""The same geometry for batches and gradients, in TensorFlow; each twin is held to the NumPy one by a test."""

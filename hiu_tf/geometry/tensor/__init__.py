"""The same geometry in TensorFlow, batched and differentiable. Tests compare each function with its NumPy twin."""

"""Fits the hand model to evidence: 2D joints, directions of bones, 3D joints. NumPy, batched."""

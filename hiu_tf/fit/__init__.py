"""Fits the hand model to evidence: 2D joints, directions of bones, 3D joints, masks. NumPy and OpenCV, batched."""

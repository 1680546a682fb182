"""Prediction without TensorFlow: NumPy, OpenCV and a TFLite interpreter."""

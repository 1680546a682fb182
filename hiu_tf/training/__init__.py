"""Training under Keras fit."""

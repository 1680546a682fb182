"""Training with Keras' fit."""

"""Export of a trained network: SavedModel, TFLite and ONNX files, with their card."""

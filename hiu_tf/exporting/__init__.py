"""Export of a trained network: SavedModel and TFLite files, with their card."""

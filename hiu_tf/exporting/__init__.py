"""From a trained network to files that others run: SavedModel and TFLite, with their card."""

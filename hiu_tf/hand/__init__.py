"""Hand models: the MANO-type model, our own licence-free hand, and the layer that poses them."""

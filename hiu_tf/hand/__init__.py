"""The hand: a MANO-type model, our own licence-free one, and the layer that poses it."""

"""The network: stem, encoder, decoders, task attention, regressor, and the stacks of them."""

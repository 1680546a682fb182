"""The networks: stem, encoder, decoders, task attention, regressor, and their stacks."""

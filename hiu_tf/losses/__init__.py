"""Training losses, supervised and self-supervised: weighted, per sample."""

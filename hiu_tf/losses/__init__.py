"""What the network is trained to minimise: supervised and self-supervised, per sample, weighted."""

"""One-class heads: from the encoder's outputs for regions to scores; one file for each head."""

"""One-class heads: from what the encoder says of regions to scores; one file a head."""

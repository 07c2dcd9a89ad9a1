"""Files to pixels: one reader for training and for scoring."""

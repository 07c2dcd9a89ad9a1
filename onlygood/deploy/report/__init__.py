"""One page about one model and many images, that opens from the disk."""

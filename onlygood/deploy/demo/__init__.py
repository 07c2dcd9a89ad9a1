"""A rendered inspection task, so that the whole path can be tried before one's own images are at hand."""

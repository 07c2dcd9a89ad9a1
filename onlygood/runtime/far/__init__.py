"""Images that do not lie in folders of this machine: stores behind fsspec, archives, tables."""

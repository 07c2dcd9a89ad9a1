"""Random and fixed views of images, batched, on the device."""

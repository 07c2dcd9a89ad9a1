"""Images to encoder: pretext tasks, batched views and the one training loop."""

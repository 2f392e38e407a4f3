"""What the stages share: the one training loop, batches, losses, metrics, models."""

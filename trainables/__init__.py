"""What one stage does: plain PyTorch, unaware of sweeps."""

"""What the optimizer steps over, and how far."""

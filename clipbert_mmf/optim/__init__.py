"""Parameter groups, learning-rate schedules and fused steps of the optimizer."""

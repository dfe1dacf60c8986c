"""What a task is: how items are made, what is measured, how predictions are recorded."""

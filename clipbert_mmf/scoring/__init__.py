"""What scores mean: folding clips, losses, ranks and accuracies, on plain tensors."""

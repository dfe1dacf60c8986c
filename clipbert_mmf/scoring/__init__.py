"""Read meaning from scores: folding clips, losses, ranks and accuracies, on plain tensors."""

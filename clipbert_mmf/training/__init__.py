"""The training loop, evaluation, checkpoints and their parts, without MMF."""

"""Everything that MMF's registry sees: model, datasets, processors, losses, metrics, trainers."""

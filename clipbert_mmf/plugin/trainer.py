"""Registers the trainer ``clipbert`` (``training.trainer: clipbert``) for the MMF that is there."""

from clipbert_mmf.host.flavour import mmf_flavour

if mmf_flavour() == "main":
    from clipbert_mmf.plugin.trainer_main import ClipBertTrainer
else:
    from clipbert_mmf.plugin.trainer_release import ClipBertTrainer

__all__ = ["ClipBertTrainer"]

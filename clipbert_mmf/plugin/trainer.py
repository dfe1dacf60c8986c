"""Registers the trainer ``clipbert`` (``training.trainer: clipbert``) for the MMF that is there."""

from clipbert_mmf.host.mmf_version import mmf_version

if mmf_version() == "main":
    from clipbert_mmf.plugin.trainer_main import ClipBertTrainer
else:
    from clipbert_mmf.plugin.trainer_release import ClipBertTrainer

__all__ = ["ClipBertTrainer"]

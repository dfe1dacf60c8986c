"""A user directory for MMF with a tiny model and dataset, to test the trainer without videos.

Every item differs by epoch through ``set_epoch``; ``TOY_READ_LOG`` names a file that records what is read.
``TOY_KILL_AT_READ``, ``TOY_FAIL_AT_READ`` and ``TOY_HANG_AT_READ`` kill the process, raise, or stop for ever
when that many items were read; not in a process that torchrun has started again. ``TOY_SIGNAL_AT_READ`` and
``TOY_SIGNAL_AT_LOSS`` are ``number:signal``: the process sends itself that signal then, the second at the loss of
the update after that number.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import torch
from mmf.common.registry import registry
from mmf.common.sample import Sample
from mmf.datasets.base_dataset import BaseDataset
from mmf.datasets.base_dataset_builder import BaseDatasetBuilder
from mmf.models.base_model import BaseModel
from torch import nn

HERE = Path(__file__).resolve().parent
num_reads = 0


def fail_at_read(number):
    if number == int(os.environ.get("TOY_KILL_AT_READ", -1)):
        os.kill(os.getpid(), signal.SIGKILL)
    if number == int(os.environ.get("TOY_FAIL_AT_READ", -1)):
        raise ValueError(f"item {number} is damaged")
    send_signal("TOY_SIGNAL_AT_READ", number)
    if number == int(os.environ.get("TOY_HANG_AT_READ", -1)):
        time.sleep(1000)


def send_signal(variable, number):
    at, _, which = os.environ.get(variable, "").partition(":")
    if at == str(number):
        del os.environ[variable]  # once
        os.kill(os.getpid(), int(which))


class ToyPoints(BaseDataset):
    """Points on a plane and their quadrant."""

    def __init__(self, name, config, dataset_type):
        super().__init__(name, config, dataset_type)
        self.size = int(config[f"num_{dataset_type}"])
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        global num_reads
        num_reads += 1
        if os.environ.get("TOY_READ_LOG") and self.dataset_type == "train":
            with open(os.environ["TOY_READ_LOG"], "a") as file:
                file.write(f"{self.epoch} {index}\n")
        if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
            fail_at_read(num_reads)
        epoch = self.epoch if self.dataset_type == "train" else 0
        rng = np.random.default_rng([7, len(self.dataset_type), epoch, index])
        point = rng.normal(size=2)
        sample = Sample()
        sample.point = torch.tensor(point, dtype=torch.float32)
        sample.targets = torch.tensor(int(point[0] > 0) + 2 * int(point[1] > 0))
        sample.item_index = torch.tensor(index)
        return sample

    def format_for_prediction(self, report):
        return [
            {"item": int(item), "best": int(row.argmax())}
            for item, row in zip(report.item_index, report.scores, strict=True)
        ]


class ToyBuilder(BaseDatasetBuilder):
    """Builds ``ToyPoints``; registered twice, for runs with two datasets."""

    key = "toy_points"

    def __init__(self, *args, **kwargs):
        super().__init__(self.key)

    @classmethod
    def config_path(cls):
        return str(HERE / "configs" / f"{cls.key}.yaml")

    def build(self, config, dataset_type="train", *args, **kwargs):
        pass

    def load(self, config, dataset_type="train", *args, **kwargs):
        return ToyPoints(self.key, config, dataset_type)

    def update_registry_for_model(self, config):
        pass


registry.register_builder("toy_points")(ToyBuilder)
registry.register_builder("toy_spots")(type("ToySpotsBuilder", (ToyBuilder,), {"key": "toy_spots"}))


@registry.register_loss("toy_ce")
class ToyLoss(nn.Module):
    """Cross-entropy, a NaN from the update that ``TOY_NAN_AT`` names."""

    def forward(self, sample_list, model_output):
        loss = nn.functional.cross_entropy(model_output["scores"].float(), sample_list["targets"])
        registry.register("toy_loss_dtype", model_output["scores"].dtype)
        if sample_list.dataset_type == "train":
            send_signal("TOY_SIGNAL_AT_LOSS", registry.get("num_updates"))
        return (
            loss * float("nan") if os.environ.get("TOY_NAN_AT") == str(registry.get("num_updates")) else loss
        )


@registry.register_model("toy_mlp")
class ToyMlp(BaseModel):
    """Two layers; ``dropout`` tests that randomness survives a resume."""

    @classmethod
    def config_path(cls):
        return str(HERE / "configs" / "toy_mlp.yaml")

    def build(self):
        self.layers = nn.Sequential(
            nn.Linear(2, 16), nn.Tanh(), nn.Dropout(float(self.config.dropout)), nn.Linear(16, 4)
        )
        if self.config.with_unused:
            self.unused = nn.Linear(2, 2)

    def forward(self, sample_list):
        scores = self.layers(sample_list["point"])
        mode = "training" if self.training else "evaluation"
        registry.register(f"toy_dtype_{mode}", scores.dtype)
        return {"scores": scores}

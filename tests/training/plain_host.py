"""A host without MMF: points on a plane, a linear model, accuracy as the metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from clipbert_mmf.scoring import gathering
from clipbert_mmf.scoring.outcomes import make_outcomes
from clipbert_mmf.training.checkpoints import Checkpointer, find_stored_seed
from clipbert_mmf.training.evaluation import Evaluator
from clipbert_mmf.training.loop import Loop
from clipbert_mmf.training.options import (
    CheckpointOptions,
    EarlyStopOptions,
    EvaluationOptions,
    LoopOptions,
    RunOptions,
)
from clipbert_mmf.training.run import Run, order_data, prepare_optimizer, start_run
from clipbert_mmf.training.seeding import seed_all

NUM_ITEMS = {"train": 20, "val": 7, "test": 5}


class Points(Dataset):
    """Points and whether they lie right of the middle; the targets of ``test`` are wrong for odd items."""

    dataset_name = "points"

    def __init__(self, split: str) -> None:
        self.split = split

    def __len__(self) -> int:
        return NUM_ITEMS[self.split]

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        point = np.random.default_rng([len(self.split), index]).normal(size=2).astype(np.float32)
        return {
            "point": torch.from_numpy(point),
            "targets": torch.tensor(int(point[0] > 0)),
            "item_index": torch.tensor(index),
        }

    def format_for_prediction(self, report: dict[str, Any]) -> list[dict[str, int]]:
        return [{"item": int(item)} for item in report["item_index"]]


class Classifier(nn.Module):
    """Two logits of a point, and their loss."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.dropout = nn.Dropout(0.3)

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        scores = self.layer(self.dropout(batch["point"]))
        loss = nn.functional.cross_entropy(scores.float(), batch["targets"])
        return {"scores": scores, "losses": {f"{batch['split']}/points/ce": loss}}


class PlainReport(dict):
    def get_batch_size(self) -> int:
        return len(self["item_index"])


class PlainHost:
    """Implements ``training.host.Host`` and notes what the loops do with it."""

    def __init__(self) -> None:
        self.hooks: list[str] = []
        self.globals: dict[str, Any] = {}
        self.measured: list[tuple[bool, list[int]]] = []
        self.predictions: dict[str, list[Any]] = {}

    def list_loaders(self, split):
        return {"points": DataLoader(Points(split), batch_size=4, shuffle=split != "test")}

    def prepare_batch(self, batch, dataset, name, split):
        return {**batch, "split": split}

    def make_report(self, batch, output):
        return PlainReport({**batch, **output})

    def make_split_report(self, name, split, fields, num_items):
        self.split = split
        return PlainReport(fields)

    def list_metric_fields(self):
        return {"scores", "targets", "item_index"}

    def compute_metrics(self, report):
        self.measured.append((gathering._rows_are_gathered.get(), report["item_index"].tolist()))
        right = report["scores"].argmax(-1) == report["targets"]
        return {f"{self.split}/points/accuracy": right.float().mean()}

    def trace_metrics(self, report):
        right = report["scores"].argmax(-1) == report["targets"]
        rows = make_outcomes(right, report["item_index"], "accuracy", is_share=True)
        return {f"{self.split}/points/accuracy": rows}

    def compute_losses(self, report):
        return {}

    def find_network(self, name):
        return None

    def write_predictions(self, split, predict):
        for name, loader in self.list_loaders(split).items():
            self.predictions[name] = predict(loader)

    def describe_checkpoint(self):
        return {"config": {}}

    def set_globals(self, **values):
        self.globals.update(values)

    def call_hook(self, name, report=None, numbers=None, **arguments):
        self.hooks.append(name)

    def log_scalars(self, scalars, update, losses):
        pass

    def log_checkpoint(self, file):
        pass


class Parts:
    """A run put together as the plugin does it.

    Args:
        folder: the run's folder.
        resume: go on with the checkpoint in ``folder``.
        run_type: names what to do.
        early_stop: options of early stopping.
        predict: write predictions in place of measuring.
        max_to_keep: numbered checkpoints that stay.
        **loop: options of the loop.
    """

    def __init__(
        self,
        folder: Path,
        resume: bool = False,
        run_type: str = "train_test",
        early_stop: EarlyStopOptions | None = None,
        predict: bool = False,
        max_to_keep: int = -1,
        **loop: Any,
    ) -> None:
        settings = {"batch_size": 4, "max_updates": 8, "device": "cpu", "seed": 3, "evaluation_interval": 4}
        options = RunOptions(
            run_type=run_type,
            loop=LoopOptions(**{**settings, **loop}),
            early_stop=early_stop or EarlyStopOptions(),
            checkpoint=CheckpointOptions(resume=resume, max_to_keep=max_to_keep),
            evaluation=EvaluationOptions(predict=predict),
        )
        self.host = PlainHost()
        seed = find_stored_seed(options.checkpoint, folder)
        self.run: Run = start_run(options, folder, local_rank=0, stored_seed=seed)
        order_data(self.run, self.host.list_loaders("train"))
        seed_all(self.run.seed, "model")
        self.run.model = Classifier()
        self.run.optimizer = torch.optim.AdamW(self.run.model.parameters(), lr=0.1)
        prepare_optimizer(self.run)
        self.checkpointer = Checkpointer(self.run, self.host, folder, "", folder / "final.pth")
        if resume:
            self.run.loaded_file = folder / "current.ckpt"
            state = torch.load(folder / "current.ckpt", weights_only=True)
            self.checkpointer.load(state, state["model"], "current.ckpt", weights_only=False)
        self.evaluator = Evaluator(self.run, self.host)
        self.loop = Loop(self.run, self.host, self.evaluator, self.checkpointer)

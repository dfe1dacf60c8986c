"""Patches of MMF's models: source edits and encoders that return tuples."""

from types import SimpleNamespace

import torch

from clipbert_mmf.host.shims import models


def test_new_tensors_stay_where_the_machine_has_no_gpu(monkeypatch):
    source = "mask = torch.ones(2).cuda()"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert models.stay_on_cpu(source) == "mask = torch.ones(2)"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert models.stay_on_cpu(source) == source


def test_a_batch_of_two_is_no_tuple():
    edited = models.tell_batches_from_tuples("if len(x) == 2:\n    x = x[1]")
    names = {"torch": torch, "x": torch.zeros(2, 3)}
    exec(edited, names)
    assert names["x"].shape == (2, 3)
    names["x"] = (torch.zeros(2, 5, 3), torch.ones(2, 3))
    exec(edited, names)
    assert names["x"].shape == (2, 3)


def test_a_text_encoder_returns_a_tuple_and_a_tensor_stays_a_tensor():
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    class Encoder(torch.nn.Module):
        def forward(self, pooled):
            return (
                BaseModelOutputWithPooling(last_hidden_state=pooled, pooler_output=pooled)
                if pooled is not None
                else 1
            )

    class UnimodalBase(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = Encoder()

    models.return_tuples_from_text_encoders(SimpleNamespace(UnimodalBase=UnimodalBase))
    encoder = UnimodalBase().encoder
    assert isinstance(encoder(torch.ones(1)), tuple) and encoder(None) == 1

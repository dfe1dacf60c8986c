"""Compatibility patches for MMF's BERT models and text encoders on current transformers, and on a CPU."""

from __future__ import annotations

from typing import Any


def stay_on_cpu(source: str) -> str:
    """Remove ``.cuda()`` from the source where there is no GPU.

    ``visual_bert``, ``vilbert`` and their embeddings move new tensors to a GPU, whether there is one or not.
    Remove with the release.
    """
    import torch

    return source if torch.cuda.is_available() else source.replace(".cuda()", "")


def tell_batches_from_tuples(source: str) -> str:
    """Ask for the type of an encoder's output beside its length.

    ``unimodal_image`` and ``unimodal_text`` take an output of length two for a tuple, so a batch of two loses
    its first item. Remove with the release.
    """
    return source.replace("if len(x) == 2:", "if not torch.is_tensor(x) and len(x) == 2:")


def load_without_running_code(source: str) -> str:
    """Read tensors and plain values only where MMF loads a file with ``torch.load``.

    PyTorch before 2.6 runs whatever code a file holds. Remove when MMF needs PyTorch 2.6.
    """
    return source.replace("torch.load(", "__import__('functools').partial(torch.load, weights_only=True)(")


def leave_transformers_alone(module: Any) -> None:
    """Make ``replace_with_jit`` do nothing on transformers >= 4.53.

    ``mmbt``, ``vilbert`` and others replace methods of transformers' BERT by scriptable ones of 2020, for the
    whole process; some of those methods are gone, so building such a model raises. Remove when main stops
    replacing them. TorchScript of these models needs an older transformers.
    """
    if not hasattr(module.BertSelfAttention, "transpose_for_scores"):
        module.replace_with_jit = lambda: None


def load_without_post_init(module: Any) -> None:
    """Give models that never call ``post_init`` an empty list of tied weights.

    ``visual_bert`` and ``vilbert`` lack the list on transformers >= 5, so loading a pretrained folder raises.
    Remove when MMF's models call ``post_init``.
    """
    from transformers import PreTrainedModel

    for value in vars(module).values():
        is_model = isinstance(value, type) and issubclass(value, PreTrainedModel)
        if is_model and value.__module__ == module.__name__:
            setattr(value, "all_tied_weights_keys", {})  # noqa: B010  transformers declares another type


def return_tuples_from_text_encoders(module: Any) -> None:
    """Turn the output of a text encoder into a tuple.

    ``unimodal_text`` and ``concat_bert`` take the second entry of a tuple; transformers' models return
    mappings, which are no sequences, so the first step raises. Remove when main asks the encoder for its
    pooled output by name.
    """
    for base, encoder_name in (("UnimodalBase", "encoder"), ("FusionBase", "text")):
        if hasattr(module, base):
            _return_tuples(getattr(module, base), encoder_name)


def _return_tuples(base: Any, encoder_name: str) -> None:
    build = base.__init__

    def build_and_hook(self: Any, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        getattr(self, encoder_name).register_forward_hook(
            lambda encoder, inputs, output: output.to_tuple() if hasattr(output, "to_tuple") else None
        )

    base.__init__ = build_and_hook

"""A compatibility patch that gives the release the image encoders of main."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn

#: Number of output features -> rows and columns of the pooled grid, where that is no single column.
_GRIDS = {4: (2, 2), 6: (3, 2), 8: (4, 2), 9: (3, 3)}


class ResNetEncoder(nn.Module):
    """A torchvision ResNet without its classifier: ``(B, 3, H, W)`` to ``(B, num_output_features, out_dim)``.

    Args:
        name: function in ``torchvision.models``.
        pretrained: fetch torchvision's ImageNet weights.
        zero_init_residual: start residual branches at zero.
        num_output_features: grid cells that are kept, -1 for all.
        pool_type: ``avg``, or anything else for the maximum.
        out_dim: channels of the last stage.
    """

    def __init__(
        self,
        name: str = "resnet50",
        pretrained: bool = False,
        zero_init_residual: bool = True,
        num_output_features: int = -1,
        pool_type: str = "avg",
        out_dim: int = 2048,
    ):
        super().__init__()
        import torchvision

        network = getattr(torchvision.models, name)(
            weights="DEFAULT" if pretrained else None, zero_init_residual=zero_init_residual
        )
        self.model = nn.Sequential(*list(network.children())[:-2])
        pool = nn.AdaptiveAvgPool2d if pool_type == "avg" else nn.AdaptiveMaxPool2d
        grid = _GRIDS.get(num_output_features, (num_output_features, 1))
        self.pool = nn.Identity() if num_output_features == -1 else pool(grid)
        self.out_dim = out_dim

    def forward(self, image: Tensor) -> Tensor:
        """Encode images.

        Args:
            image: ``(B, 3, H, W)`` float.

        Returns:
            ``(B, num_output_features, out_dim)`` float.
        """
        return self.pool(self.model(image)).flatten(2).transpose(1, 2).contiguous()


def offer_smaller_resnets(module: Any) -> None:
    """Offer all of torchvision's ResNets as ``torchvision_resnet``, as main does.

    ResNet-152 is the release's only image encoder. Remove with the release.
    """
    build = module.ImageEncoder.__init__

    @functools.wraps(build)
    def __init__(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  replaces ImageEncoder's own
        if config.type != "torchvision_resnet":
            build(self, config, *args, **kwargs)
            return
        torch.nn.Module.__init__(self)
        self._type = config.type
        self.module = ResNetEncoder(**config.params)

    module.ImageEncoder.__init__ = __init__

"""What has to be added to the release's image encoders, so that a configuration means what it means in main.

Listed in ``shims.SHIMS``.
"""

from __future__ import annotations

import functools
from types import ModuleType

import torch
from torch import Tensor, nn

#: Places that are kept -> rows and columns of the pooled grid, where that is no single column.
_GRIDS = {4: (2, 2), 6: (3, 2), 8: (4, 2), 9: (3, 3)}


class ResNetEncoder(nn.Module):
    """A ResNet of torchvision's without its classifier: ``(B, 3, H, W)`` to ``(B, num_output_features, out_dim)``.

    Args:
        name: of the function in ``torchvision.models``.
        pretrained: whether torchvision fetches its ImageNet weights.
        zero_init_residual: whether residual branches begin as nothing.
        num_output_features: places that are kept, -1 for all.
        pool_type: ``avg``, or anything else for the maximum.
        out_dim: channels of its last stage.
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
        """Return ``(B, num_output_features, out_dim)``."""
        return self.pool(self.model(image)).flatten(2).transpose(1, 2).contiguous()


def offer_smaller_resnets(module: ModuleType) -> None:
    """release: ResNet-152 is the only image encoder; main has all of torchvision's ResNets, ``torchvision_resnet``.

    Goes with release.
    """
    from clipbert_mmf.host.flavour import mmf_flavour

    if mmf_flavour() != "release":
        return
    build = module.ImageEncoder.__init__

    @functools.wraps(build)
    def __init__(self, config, *args, **kwargs):
        if config.type != "torchvision_resnet":
            build(self, config, *args, **kwargs)
            return
        torch.nn.Module.__init__(self)
        self._type = config.type
        self.module = ResNetEncoder(**config.params)

    module.ImageEncoder.__init__ = __init__

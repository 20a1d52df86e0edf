"""ResNet-50 up to stage 3 (He et al. 2016), the reference's feature extractor; weights are the user's own file.

Key names are those that torchvision and timm share.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diad_train.exchange.checkpoint import CheckpointError, mismatches, not_finite, read_state

# What the file may hold beyond what is used: the last stage, the classifier, counters of training.
UNUSED = ("layer4.", "fc.", "classifier.")


class Bottleneck(nn.Module):
    """1x1, 3x3 (strided), 1x1, each with batch norm; residual."""

    def __init__(self, *, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = 4 * width
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] -> [N, 4 * width, h / stride, w / stride]."""
        h = F.relu(self.bn1(self.conv1(x)))
        h = F.relu(self.bn2(self.conv2(h)))
        return F.relu(self.bn3(self.conv3(h)) + self.downsample(x))


class ResNet50(nn.Module):
    """Stages 1 to 3: 256, 512 and 1024 channels at strides 4, 8 and 16."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6)), start=1):
            layers = []
            for block in range(blocks):
                stride = 2 if block == 0 and stage > 1 else 1
                layers.append(Bottleneck(channels=channels, width=width, stride=stride))
                channels = 4 * width
            self.add_module(f"layer{stage}", nn.Sequential(*layers))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Normalised image [N, 3, H, W] -> the three stages, each after its last ReLU."""
        h = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        layers = []
        for stage in (1, 2, 3):
            h = self.get_submodule(f"layer{stage}")(h)
            layers.append(h)
        return layers


def load_resnet50(path: Path) -> ResNet50:
    """Reads a torchvision or timm ResNet-50 from `.pt`, `.pth`, `.ckpt` or `.safetensors`.

    Raises CheckpointError with every key that is missing, surplus, of another shape or not finite.
    """
    state = {key.removeprefix("resnet50."): value for key, value in read_state(path).items()}
    model = ResNet50()
    own = model.state_dict()
    state = {key: value for key, value in state.items() if key in own or not key.startswith(UNUSED)}
    for key, value in own.items():
        if key.endswith("num_batches_tracked"):
            state.setdefault(key, value)
    faults = mismatches(own, state) + not_finite(state)
    if faults:
        raise CheckpointError(path, "is not a ResNet-50 as torchvision and timm write it", faults)
    model.load_state_dict({key: torch.as_tensor(value) for key, value in state.items()})
    return model.eval()

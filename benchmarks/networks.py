"""Networks in plain PyTorch, written without archcalc, for the benchmarks to compare with."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

Size = tuple[int, ...]  # channels, then axes
SQUEEZE = 16  # how many times fewer channels a squeeze-excite unit looks at


class SqueezeExcite(nn.Module):
    """Scale every channel by a number made from the means of all channels (Hu et al., 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, channels // SQUEEZE, 1)
        self.up = nn.Conv2d(channels // SQUEEZE, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.up(torch.relu(self.down(x.mean((2, 3), keepdim=True)))))


def conv_norm(channels: int, filters: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(filters)]


class Bottleneck(nn.Module):
    """1×1, 3×3 (with the stride) and 1×1 convolution around a shortcut; one ReLU, used three times."""

    def __init__(self, channels: int, width: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv_norm(channels, width, 1)
        self.conv2, self.norm2 = conv_norm(width, width, 3, stride)
        self.conv3, self.norm3 = conv_norm(width, 4 * width, 1)
        self.squeeze = SqueezeExcite(4 * width) if squeeze else None
        changes = stride > 1 or channels != 4 * width
        self.shortcut = nn.Sequential(*conv_norm(channels, 4 * width, 1, stride)) if changes else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm1(self.conv1(x)))
        y = self.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        if self.squeeze is not None:
            y = self.squeeze(y)
        y += x if self.shortcut is None else self.shortcut(x)
        return self.relu(y)


class ResNet50(nn.Sequential):
    """Residual network of 50 layers (He et al., 2015), the stride of a stage on its first 3×3 convolution."""

    def __init__(self, squeeze: bool = False) -> None:
        layers: list[nn.Module] = [*conv_norm(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        channels = 64
        for width, depth, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for unit in range(depth):
                layers.append(Bottleneck(channels, width, stride if unit == 0 else 1, squeeze))
                channels = 4 * width
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


class UNet(nn.Module):
    """The U-Net of Ronneberger et al. (2015): unpadded, each skip cropped at its middle."""

    def __init__(self) -> None:
        super().__init__()
        widths = (64, 128, 256, 512, 1024)
        self.down = nn.ModuleList(self.two(c, f) for c, f in zip((1, *widths), widths, strict=False))
        self.pool = nn.MaxPool2d(2)
        self.wider = nn.ModuleList(nn.ConvTranspose2d(2 * f, f, 2, 2) for f in widths[-2::-1])
        self.up = nn.ModuleList(self.two(2 * f, f) for f in widths[-2::-1])
        self.head = nn.Conv2d(64, 2, 1)

    @staticmethod
    def two(channels: int, filters: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(channels, filters, 3), nn.ReLU(), nn.Conv2d(filters, filters, 3), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for step in self.down:
            x = step(self.pool(x) if skips else x)
            skips.append(x)
        skips.pop()  # the lowest level is x itself
        for wider, up in zip(self.wider, self.up, strict=True):
            x = wider(x)
            x = up(torch.cat([self.cropped(skips.pop(), x), x], dim=1))
        return self.head(x)

    @staticmethod
    def cropped(skip: Tensor, x: Tensor) -> Tensor:
        high, wide = x.shape[2:]
        top, left = (skip.shape[2] - high) // 2, (skip.shape[3] - wide) // 2
        return skip[:, :, top : top + high, left : left + wide]


class Darknet(nn.Sequential):
    """A convolution without bias, batch normalisation and a leaky ReLU: what YOLOv3 is made of."""

    def __init__(self, channels: int, filters: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__(*conv_norm(channels, filters, kernel, stride), nn.LeakyReLU(0.1))


class DarknetUnit(nn.Sequential):
    """Half as many channels and back, around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__(Darknet(width, width // 2), Darknet(width // 2, width, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class YOLOv3(nn.Module):
    """Redmon and Farhadi (2018), as their yolov3.cfg: Darknet-53 and three grids of boxes, the coarsest first."""

    def __init__(self, classes: int = 80) -> None:
        super().__init__()
        self.stem, self.stages, channels = Darknet(3, 32, 3), nn.ModuleList(), 32
        for width, depth in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
            units = [DarknetUnit(width) for _ in range(depth)]
            self.stages.append(nn.Sequential(Darknet(channels, width, 3, 2), *units))
            channels = width
        self.necks, self.heads, self.ups = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for channels, width in ((1024, 512), (768, 256), (384, 128)):
            self.necks.append(self.neck(channels, width))
            self.heads.append(nn.Sequential(Darknet(width, 2 * width, 3), nn.Conv2d(2 * width, 3 * (classes + 5), 1)))
            self.ups.append(nn.Sequential(Darknet(width, width // 2), nn.Upsample(scale_factor=2)))
        del self.ups[-1]

    @staticmethod
    def neck(channels: int, width: int) -> nn.Sequential:
        wide = [layer for _ in range(2) for layer in (Darknet(width, 2 * width, 3), Darknet(2 * width, width))]
        return nn.Sequential(Darknet(channels, width), *wide)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps, boxes, x = [], [], self.stem(x)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        for level, (neck, head) in enumerate(zip(self.necks, self.heads, strict=True)):
            x = torch.cat([self.ups[level - 1](x), maps[-1 - level]], dim=1) if level else x
            x = neck(x)
            boxes.append(head(x))
        return boxes


class Same(nn.Conv2d):
    """A convolution padded by TensorFlow's `same`: the odd cell at the end."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for n, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(x, pads))


Conv, Pool, Average, Dense, Flat, Drop, ReLU = (
    nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.Linear, nn.Flatten, nn.Dropout, nn.ReLU,
)  # fmt: skip
First = nn.LazyLinear  # a dense layer after flatten: as wide as the input size makes it


def lenet5() -> list[nn.Module]:
    steps = [Conv(1, 6, 5), nn.Tanh(), Average(2), Conv(6, 16, 5), nn.Tanh(), Average(2), Conv(16, 120, 5), nn.Tanh()]
    return [*steps, Flat(), First(84), nn.Tanh(), Dense(84, 10)]


def alexnet_2012() -> list[nn.Module]:
    """Krizhevsky et al. (2012): two halves as groups, local response normalisation before the first two pools."""
    one = [Conv(3, 96, 11, 4), ReLU(), nn.LocalResponseNorm(5, k=2.0), Pool(3, 2)]
    two = [Conv(96, 256, 5, padding=2, groups=2), ReLU(), nn.LocalResponseNorm(5, k=2.0), Pool(3, 2)]
    three = [Conv(256, 384, 3, padding=1), ReLU()]
    four = [Conv(384, 384, 3, padding=1, groups=2), ReLU()]
    five = [Conv(384, 256, 3, padding=1, groups=2), ReLU(), Pool(3, 2)]
    dense = [Flat(), First(4096), ReLU(), Drop(), Dense(4096, 4096), ReLU(), Drop(), Dense(4096, 1000)]
    return [*one, *two, *three, *four, *five, *dense]


def mobilenet_v1() -> list[nn.Module]:
    """Howard et al. (2017), padded as TensorFlow pads."""

    def normed(conv: nn.Module, filters: int) -> list[nn.Module]:
        return [conv, nn.BatchNorm2d(filters, eps=0.001), nn.ReLU6()]

    strides = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    layers, channels = normed(Same(3, 32, 3, 2, bias=False), 32), 32
    for filters, stride in strides:
        layers += normed(Same(channels, channels, 3, stride, groups=channels, bias=False), channels)
        layers += normed(Conv(channels, filters, 1, bias=False), filters)
        channels = filters
    return [*layers, nn.AdaptiveAvgPool2d(1), Flat(), Drop(), Dense(channels, 1000)]


ROWS: dict[str, tuple[Callable[[], Sequence[nn.Module]], list[Size]]] = {  # networks that are layers in a row
    "alexnet_2012": (alexnet_2012, [(3, 227, 227), (3, 224, 224), (3, 231, 300)]),
    "mobilenet_v1": (mobilenet_v1, [(3, 224, 224), (3, 256, 320), (3, 225, 301)]),
    "lenet5": (lenet5, [(1, 32, 32), (1, 33, 35), (1, 64, 48)]),
    "digits": (
        lambda: [Conv(1, 20, 5), Pool(2), Conv(20, 20, 3), Pool(2), Conv(20, 10, 5)],
        [(1, 28, 28), (1, 1024, 1024)],
    ),
    "exercise_a": (
        lambda: [Drop(), First(200), Drop(), Dense(200, 100), Drop(), Dense(100, 10), nn.Sigmoid()],
        [(784,), (1000,)],
    ),
    "exercise_b": (
        lambda: [Same(1, 32, 3), Drop(), Same(32, 64, 3), Drop(), Pool(2), Flat(), First(10)],
        [(1, 28, 28), (1, 31, 40)],
    ),
    "exercise_e": (
        lambda: [Conv(1, 32, 3), Pool(2), Conv(32, 32, 3), Pool(2), Flat(), First(128), Dense(128, 10)],
        [(1, 28, 28), (1, 31, 40)],
    ),
    "exercise_f": (lambda: [Conv(1, 1, 3)], [(1, 10, 10), (1, 3, 50)]),
    "exercise_g": (lambda: [Conv(1, 5, 3), Conv(5, 2, 3)], [(1, 10, 10), (1, 5, 50)]),
    "exercise_h": (lambda: [nn.Conv1d(5, 8, 3), nn.Conv1d(8, 1, 3)], [(5, 100), (5, 77)]),
    "exercise_i": (
        lambda: [Conv(3, 12, 5), ReLU(), Pool(2), Conv(12, 32, 5), ReLU(), Pool(2), Flat(), First(10)],
        [(3, 32, 32), (3, 41, 64)],
    ),
    "exercise_j": (lambda: [Conv(3, 12, 5), Conv(12, 32, 5), Flat(), First(10)], [(3, 32, 32), (3, 41, 64)]),
    "exercise_j_avg_pool": (
        lambda: [Conv(3, 12, 5), Average(2), Conv(12, 32, 5), Average(2), Flat(), First(10)],
        [(3, 32, 32), (3, 41, 64)],
    ),
    "exercise_j_four_convs": (
        lambda: [Conv(3, 12, 5), Conv(12, 12, 5), Conv(12, 32, 5), Conv(32, 32, 5), Flat(), First(10)],
        [(3, 32, 32), (3, 41, 64)],
    ),
    "exercise_k": (lambda: [Conv(3, 12, 5), ReLU(), Flat(), First(10)], [(3, 32, 32), (3, 41, 64)]),
    "exercise_m": (
        lambda: [Same(3, 100, 3, 2), Same(100, 200, 3, 2), Same(200, 400, 3, 2)],
        [(3, 200, 300), (3, 199, 301)],
    ),
    "exercise_n": (lambda: [Same(3, 200, 5)], [(3, 150, 100), (3, 31, 77)]),
    "exercise_o": (
        lambda: [
            Same(1, 32, 3), Pool(2), Same(32, 64, 3), Same(64, 64, 3), Flat(), Drop(),
            First(128), Drop(), Dense(128, 10),
        ],
        [(1, 28, 28), (1, 31, 40)],
    ),
    "exercise_r_max_pool": (lambda: [Pool(2)], [(64, 56, 56), (64, 57, 33)]),
    "exercise_r_conv": (lambda: [Conv(64, 64, 2, 2)], [(64, 56, 56), (64, 57, 33)]),
}  # fmt: skip

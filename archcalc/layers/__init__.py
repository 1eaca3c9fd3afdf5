"""Kinds of layers: the only home of formulas."""

from archcalc.layers.activation import GLU, Activation, LogSoftmax, PReLU, Softmax
from archcalc.layers.conv import Conv, ConvTranspose, DepthwiseConv, SeparableConv
from archcalc.layers.dense import Dense, MatMul
from archcalc.layers.embedding import Embedding
from archcalc.layers.join import Combine, Concat
from archcalc.layers.layer import KINDS, Composite, Layer, Part, Saved, Weight, register
from archcalc.layers.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm, RMSNorm
from archcalc.layers.pool import (
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    AvgPool,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool,
)
from archcalc.layers.reduce import Reduce
from archcalc.layers.reshape import (
    Crop,
    Dropout,
    Flatten,
    Identity,
    Pad,
    Permute,
    PixelShuffle,
    PixelUnshuffle,
    Reshape,
)
from archcalc.layers.resize import Resize
from archcalc.layers.unknown import Unknown

__all__ = [
    "GLU",
    "KINDS",
    "Activation",
    "AdaptiveAvgPool",
    "AdaptiveMaxPool",
    "AvgPool",
    "BatchNorm",
    "Combine",
    "Composite",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Crop",
    "Dense",
    "DepthwiseConv",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "Identity",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "LocalResponseNorm",
    "LogSoftmax",
    "MatMul",
    "MaxPool",
    "PReLU",
    "Pad",
    "Part",
    "Permute",
    "PixelShuffle",
    "PixelUnshuffle",
    "RMSNorm",
    "Reduce",
    "Reshape",
    "Resize",
    "Saved",
    "SeparableConv",
    "Softmax",
    "Unknown",
    "Weight",
    "register",
]

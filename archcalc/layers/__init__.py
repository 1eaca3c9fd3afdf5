"""Kinds of layers: the only home of formulas."""

from archcalc.layers.activation import GLU, Activation, Clamp, LogSoftmax, PReLU, Softmax
from archcalc.layers.attention import Attention, SplitHeads
from archcalc.layers.conv import Conv, ConvTranspose, DepthwiseConv, SeparableConv
from archcalc.layers.dense import Dense, MatMul
from archcalc.layers.einsum import Einsum
from archcalc.layers.embedding import Embedding
from archcalc.layers.experts import Experts, MixtureOfExperts
from archcalc.layers.index import Expand, Flip, Gather, Roll, Slice
from archcalc.layers.join import Combine, Compare, Concat, Where
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
from archcalc.layers.position import AddedPosition, Rotary
from archcalc.layers.recurrent import Recurrent
from archcalc.layers.reduce import ArgMax, CumulativeSum, Normalize, Reduce
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
from archcalc.layers.source import Constant, Parameter
from archcalc.layers.transformer import GatedMLP, MultiHeadAttention
from archcalc.layers.unfold import Fold, Unfold
from archcalc.layers.unknown import Unknown
from archcalc.layers.weighted import WeightedConv

__all__ = [
    "GLU",
    "KINDS",
    "Activation",
    "AdaptiveAvgPool",
    "AdaptiveMaxPool",
    "AddedPosition",
    "ArgMax",
    "Attention",
    "AvgPool",
    "BatchNorm",
    "Clamp",
    "Combine",
    "Compare",
    "Composite",
    "Concat",
    "Constant",
    "Conv",
    "ConvTranspose",
    "Crop",
    "CumulativeSum",
    "Dense",
    "DepthwiseConv",
    "Dropout",
    "Einsum",
    "Embedding",
    "Expand",
    "Experts",
    "Flatten",
    "Flip",
    "Fold",
    "GatedMLP",
    "Gather",
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
    "MixtureOfExperts",
    "MultiHeadAttention",
    "Normalize",
    "PReLU",
    "Pad",
    "Parameter",
    "Part",
    "Permute",
    "PixelShuffle",
    "PixelUnshuffle",
    "RMSNorm",
    "Recurrent",
    "Reduce",
    "Reshape",
    "Resize",
    "Roll",
    "Rotary",
    "Saved",
    "SeparableConv",
    "Slice",
    "Softmax",
    "SplitHeads",
    "Unfold",
    "Unknown",
    "Weight",
    "WeightedConv",
    "Where",
    "register",
]

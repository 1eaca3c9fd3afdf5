"""The options of the commands about what a network is like, and what can be made of it."""

from archcalc.cli.parsing import Adder, later, written

TRANSFORMS = ("fully-convolutional", "collapsed", "dense", "folded", "separable", "blocks")


def properties(add: Adder) -> None:
    """Options of `archcalc properties`."""
    what = "which layers, and is the whole, linear, affine, homogeneous, elementwise, shift-equivariant; and why not"
    properties = add("properties", later("transforming", "properties"), what, (
        "archcalc properties zoo:digits",
        "archcalc properties zoo:resnet50 --layer layer1 --json",
    ))  # fmt: skip
    properties.add_argument("model", metavar="MODEL", help="a YAML file, - for standard input, or zoo:NAME")
    size = "1024x1024, or 3x1024x1024, or name=SIZE for several inputs; default: the spec's"
    properties.add_argument("--input", metavar="SIZE", action="append", help=size)
    properties.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="replace a hyperparameter")
    properties.add_argument("--layer", metavar="NAME", help="of one layer or block; default: of all, and the whole")
    written(properties)


def convert(add: Adder) -> None:
    """Options of `archcalc convert`."""
    what = "the spec of a network made of another; without --to, of the network itself"
    convert = add("convert", later("transforming", "convert"), what, (
        "archcalc convert zoo:vgg16 --to fully-convolutional --at 512x512 -o vgg16_map.yaml",
        "archcalc convert zoo:resnet50 --to folded --json",
    ))  # fmt: skip
    convert.add_argument("model", metavar="MODEL", help="a YAML file, - for standard input, or zoo:NAME")
    to = "dense head as convolutions; affine layers in a row as one convolution, or as one dense layer; batch norms "
    to += "folded into what they follow; convolutions made depthwise separable (another network); the same network "
    to += "with its repeats and blocks found by its layers alone, as for one that has no spec"
    convert.add_argument("--to", choices=TRANSFORMS, help=to)
    size = "the original size, from which a dense layer's window follows; default: the spec's"
    convert.add_argument("--input", metavar="SIZE", action="append", help=size)
    convert.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="replace a hyperparameter")
    larger = "with fully-convolutional: the work on so large an image, beside the original slid over it"
    convert.add_argument("--at", metavar="SIZE", action="append", help=larger)
    saved = "tensors as torch.save writes them, by the names of archcalc.torch.build"
    convert.add_argument("--weights", metavar="FILE", help=saved)
    convert.add_argument("--weights-to", metavar="FILE", help="write the weights of the new network there")
    written(convert)


ASKED = (properties, convert)

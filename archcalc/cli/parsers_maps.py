"""The options of the commands that run a network on a picture."""

import argparse

from archcalc.cli.parsing import Adder, later


def picture_options(command: argparse.ArgumentParser, *, weights: bool) -> None:
    """Which model, which picture, which weights."""
    command.add_argument("model", metavar="MODEL", help="a YAML file, - for standard input, or zoo:NAME")
    command.add_argument("--image", required=True, metavar="FILE", help="a picture; its numbers are 0 to 1")
    saved = "tensors as torch.save writes them, by the names of archcalc.torch.build"
    initial = "" if weights else "; default: PyTorch's initial ones"
    command.add_argument("--weights", required=weights, metavar="FILE", help=saved + initial)
    command.add_argument("--layer", metavar="NAME", help="of which layer (default: the last)")
    command.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="replace a hyperparameter")


def featuremaps(add: Adder) -> None:
    """Options of `archcalc featuremaps`."""
    maps = add("featuremaps", later("maps", "featuremaps"), "draw what a layer makes of a picture, a map a channel", (
        "archcalc featuremaps zoo:digits --image digits.png --layer conv2 -o maps.png",
        "archcalc featuremaps zoo:digits --image digits.png -o maps.json",
    ))  # fmt: skip
    picture_options(maps, weights=False)
    maps.add_argument("-o", "--output", required=True, metavar="FILE", help="an .svg, .png or .json file")


def locate(add: Adder) -> None:
    """Options of `archcalc locate`."""
    what = "the places in a picture that a layer reports, as boxes of pixels"
    places = add("locate", later("maps", "locate"), what, (
        "archcalc locate zoo:digits --image digits.png --weights digits.pt --threshold 0.5 --plot found.png",
        "archcalc locate zoo:digits --image digits.png --weights digits.pt --threshold 0.1 --json",
    ))  # fmt: skip
    picture_options(places, weights=True)
    places.add_argument("--threshold", type=float, default=0.5, metavar="T", help="what a cell reaches (default 0.5)")
    shared = "places that share more of their pixels (intersection over union) are one (default 0.5)"
    places.add_argument("--overlap", type=float, default=0.5, metavar="S", help=shared)
    places.add_argument("--classes", metavar="A,B,…", help="names of the channels")
    places.add_argument("--plot", metavar="FILE", help="draw the boxes into the picture, as .svg or .png")
    places.add_argument("--json", action="store_true", help="write the places as JSON")
    places.add_argument("-o", "--output", metavar="FILE", help="write to a file instead of standard output")


ASKED = (featuremaps, locate)

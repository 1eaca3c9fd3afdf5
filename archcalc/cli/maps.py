"""The commands that run a network on a picture: its feature maps, and the places that it reports."""

import argparse
from typing import Any

from archcalc import __version__
from archcalc.cli.common import as_json, format_of, keep_the_model, model_of, write
from archcalc.errors import CannotRun, UsageError
from archcalc.questions.locate import located
from archcalc.views import maps as views
from archcalc.views.drawing import check_file


def maps_of(options: argparse.Namespace) -> tuple[Any, Any]:
    """The model, and what the layer that is asked for makes of the picture."""
    keep_the_model(options)
    try:
        from archcalc.dialects.torch_maps import feature_maps
    except ModuleNotFoundError as error:
        raise CannotRun("torch", "needs PyTorch", str(error), way_out="pip install 'archcalc[torch]'") from None
    model = model_of(options)
    return model, feature_maps(model, options.image, options.layer, options.weights)


def featuremaps(options: argparse.Namespace) -> int:
    """Draw what a layer makes of a picture, or write its numbers."""
    as_data = format_of(options.output) == "json"
    if not as_data:
        check_file(options.output)
    _, maps = maps_of(options)
    if not as_data:
        maps.plot(options.output)
        return 0
    head = {"schema_version": 1, "tool": f"archcalc {__version__}", "model": maps.model, "layer": maps.layer}
    write(as_json(head | {"image": list(maps.image), "values": maps.values.tolist()}), options.output)
    return 0


def locate(options: argparse.Namespace) -> int:
    """Print the places that a layer reports, or draw them into the picture."""
    if not 0 <= options.overlap <= 1:
        raise UsageError("--overlap", "must lie between 0 and 1", f"{options.overlap}")
    if options.plot:
        check_file(options.plot)
    model, maps = maps_of(options)
    found = located(model, maps.layer, maps.values, maps.image, options.threshold, options.overlap)
    classes = [name.strip() for name in options.classes.split(",")] if options.classes else []
    as_data = options.json or format_of(options.output) == "json"
    write(as_json(found.to_dict()) if as_data else views.text(found, classes), options.output)
    if options.plot:
        views.boxes(maps.pixels, found.places, classes, options.plot)
    return 0

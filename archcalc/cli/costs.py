"""The commands about memory and time."""

import argparse
import re
from typing import Any

from archcalc.algebra.units import parse_bytes
from archcalc.cli.common import as_json, format_of, keep_the_model, model_of, size_of, width, write
from archcalc.dialects.devices import read_devices
from archcalc.errors import UsageError
from archcalc.hardware.calibration import Calibration, load
from archcalc.hardware.device import Device, device
from archcalc.views import fit as fit_views
from archcalc.views.drawing import check_file


def memory(options: argparse.Namespace) -> int:
    """Print what inference and training take, and when most."""
    from archcalc.views import memory as views

    keep_the_model(options)
    if options.plot:
        check_file(options.plot)
    size = size_of(options)
    found = model_of(options).memory(size["input"], batch=size["batch"], dtype=size["dtype"], **choices_of(options))
    style = options.format or format_of(options.output)
    if style not in ("text", "json", "csv"):
        raise UsageError("--format", "must be text, csv or json", style)
    if style == "json":
        page = as_json(found.to_dict() | ({"forms": views.written(found.forms())} if options.formula else {}))
    elif style == "csv":
        page = views.csv(found)
    else:
        page = views.text(found, width(), classroom=options.classroom)
        page += f"\n\n{views.formulas(found, width())}" if options.formula else ""
    write(page, options.output)
    if options.plot:
        found.plot(options.plot)
    return 0


def time(options: argparse.Namespace) -> int:
    """Print how long it takes on a device, at least and as expected."""
    from archcalc.views import time as views

    keep_the_model(options)
    if options.plot:
        check_file(options.plot)
    size = size_of(options)
    on = device(options.device, read_devices(options.devices) if options.devices is not None else None)
    found = model_of(options).time(
        on, size["input"], batch=size["batch"], dtype=size["dtype"], math_mode=options.math_mode,
        training=options.training, calibration=[calibration_of(path, on) for path in options.calibration],
        energy=options.energy,
    )  # fmt: skip
    style = options.format or format_of(options.output)
    if style not in ("text", "json", "csv"):
        raise UsageError("--format", "must be text, csv or json", style)
    if options.plot:
        views.check_plot(found)
    page = as_json(found.to_dict()) if style == "json" else views.csv(found) if style == "csv" else ""
    write(page or views.text(found, width()), options.output)
    if options.plot:
        found.plot(options.plot)
    return 0


def calibration_of(path: str, on: Device) -> Calibration:
    """A calibration file, which must be of this device."""
    return load(path, on)


def fit(options: argparse.Namespace) -> int:
    """Print whether it fits, what does at most, and the ways out."""
    keep_the_model(options)
    size = size_of(options)
    own = read_devices(options.devices) if options.devices is not None else None
    on = device(options.device, own) if options.device is not None else None
    room = parse_bytes_of("--memory", options.memory) if options.memory is not None else None
    found = model_of(options).fit(
        room, size["input"], batch=size["batch"], dtype=size["dtype"], device=on, multiple=options.multiple,
        **choices_of(options),
    )  # fmt: skip
    as_data = options.json or format_of(options.output) == "json"
    write(as_json(found.to_dict()) if as_data else fit_views.text(found, width()), options.output)
    return 0 if found.fits else 4


def parse_bytes_of(option: str, text: str) -> int:
    """Bytes as an option states them."""
    try:
        return parse_bytes(text)
    except UsageError as error:
        raise UsageError(option, error.rule, error.got) from None


def choices_of(options: argparse.Namespace) -> dict[str, Any]:
    """What memory depends on beside the input, as `Model.memory` takes it; only what was given."""
    given: dict[str, Any] = {"training": options.training}
    for name in ("optimizer", "amp", "hold"):
        value = getattr(options, name)
        if value is not None:
            given[name] = value
    if options.optimizer is not None and not options.training:
        raise UsageError("--optimizer", "is about training", "no --training")
    if options.checkpoint is not None:
        given |= checkpoint_of(options.checkpoint)
    if options.in_place:
        given["in_place"] = True
    if options.keep_gradients:
        given["set_to_none"] = False
    if options.master_weights:
        given["master"] = True
    return given


def checkpoint_of(text: str) -> dict[str, int]:
    """`every=4` or `every=1,depth=2`."""
    match = re.fullmatch(r"every=([1-9][0-9]{0,5})(?:,depth=([1-9][0-9]?))?", text)
    if not match:
        way_out = "such as every=4, or every=1,depth=2 for each block inside a block"
        raise UsageError("--checkpoint", "must be every=K", repr(text), way_out=way_out)
    return {"checkpoint": int(match[1]), "depth": int(match[2] or 1)}

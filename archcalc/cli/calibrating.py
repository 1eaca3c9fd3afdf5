"""The command `archcalc calibrate`: fits a device's numbers to timings, from a file or taken here."""

import argparse
import os
from collections.abc import Sequence

from msgspec import to_builtins

from archcalc.cli.common import as_json, progress, say, width, write
from archcalc.dialects.devices import read_devices
from archcalc.errors import CannotRun, UsageError
from archcalc.hardware import calibration as fits
from archcalc.hardware.device import Device, device
from archcalc.hardware.estimate import defaults
from archcalc.hardware.measured import DTYPES, Row, read, row_of
from archcalc.model.network import one_of
from archcalc.views import calibration as views

TAKEN = ("float32", "tf32", "bfloat16", "float16")  # formats that are measured unless told otherwise


def calibrate(options: argparse.Namespace) -> int:
    """Print, and write where asked, one calibration for each rate."""
    for name in options.dtype or ():
        one_of("--dtype", name, DTYPES)
    fitted = _from_file(options) if options.source is not None else _measured(options)
    pages = [views.text(fit, defaults(on, fit.rate), width()) for fit, on in fitted]
    if options.json:
        write(as_json([to_builtins(fit) for fit, _ in fitted]), None)
    else:
        write("\n\n".join(pages), None)
    for fit, _ in fitted if options.output is not None else ():
        path = options.output
        if len(fitted) > 1 or os.path.isdir(path):
            path = os.path.join(path, f"{fit.device}.{fit.rate}.json")
        fits.save(fit, path)
        say(f"calibrate: written to {path}")
    return 0


def _from_file(options: argparse.Namespace) -> list[tuple[fits.Calibration, Device]]:
    """The timings of a file, those of one device, each rate by itself."""
    rows = read(options.source)
    known = list(dict.fromkeys(row.gpu for row in rows))
    if options.device == "cuda" and len(known) != 1:
        rule = "must name one of the devices in the file"
        raise UsageError("--device", rule, ", ".join(known) or "no timings", way_out="--device NAME")
    own = read_devices(options.devices) if options.devices is not None else None
    on = device(known[0] if options.device == "cuda" else options.device, own)
    mine = [row for row in rows if row.gpu == on.id]
    if not mine:
        raise UsageError("--device", "must have timings in the file", f"{on.id}; it has {', '.join(known)}")
    return _fitted(mine, on, {"source": os.path.basename(options.source)}, options.dtype)


def _fitted(
    rows: Sequence[Row], on: Device, environment: dict[str, str], dtypes: Sequence[str] | None
) -> list[tuple[fits.Calibration, Device]]:
    wanted = [DTYPES[name][1] for name in dtypes] if dtypes else list(dict.fromkeys(row.rate for row in rows))
    found = []
    for rate in wanted:
        of_rate = [row for row in rows if row.rate == rate]
        if not of_rate:
            raise UsageError("--dtype", "must have timings in the file", rate)
        found.append((fits.fit(of_rate, on, rate, environment), on))
    return found


def _measured(options: argparse.Namespace) -> list[tuple[fits.Calibration, Device]]:
    """Timings taken on the CUDA device of this machine."""
    if options.device != "cuda":
        way_out = "give a file of its timings with --from"
        raise UsageError("--device", "can be measured only here: cuda", options.device, way_out=way_out)
    try:
        from archcalc.crosscheck.calibrate import cuda_timer, measure
        from archcalc.crosscheck.calibrate import write as write_timings
    except ModuleNotFoundError as error:
        way_out = "pip install 'archcalc[torch]'"
        raise CannotRun("calibrate", "needs PyTorch", str(error), way_out=way_out) from None
    cuda_timer("cuda")  # says what is missing
    on = device("local", read_devices(options.devices) if options.devices is not None else None)
    dtypes = options.dtype or [name for name in TAKEN if on.has_rate(DTYPES[name][1])]
    taken, found = [], []
    for dtype in progress(dtypes, "formats"):
        cells, environment = measure("cuda", dtype, gpu=on.id)
        taken += cells
        found += _fitted([row_of(row, "timings") for row in cells], on, environment, [dtype])
    if options.timings is not None:
        write_timings(taken, options.timings)
    return found

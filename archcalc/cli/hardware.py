"""The command `archcalc hardware`: the table of devices, and all about one, also of a user's own file."""

import argparse

from archcalc import __version__
from archcalc.cli.common import as_json, width, write
from archcalc.dialects.devices import read_devices
from archcalc.hardware.consistency import findings
from archcalc.hardware.device import Device, device, devices, sources
from archcalc.views.hardware import device_page, table_page


def hardware(options: argparse.Namespace) -> int:
    """Print the table of devices, or all about one."""
    own = read_devices(options.devices) if options.devices is not None else {}
    if options.name is None:
        known = list({**devices(), **own}.values())
        write(_json(known) if options.json else table_page(known, width()), None)
        return 0
    row = device(options.name, own, asked="hardware")
    known_sources = sources() if row.id in devices() else {}
    page = _json([row]) if options.json else device_page(row, findings(row), known_sources, width())
    write(page, None)
    return 0


def _json(rows: list[Device]) -> str:
    """Rows with the sources of the table and what was checked."""
    used = {name for row in rows if row.id in devices() for name in row.sources}
    listed = [
        {
            **row.to_dict(),
            "checks": [{"rule": item.rule, "says": item.says, "holds": item.holds} for item in findings(row)],
        }
        for row in rows
    ]
    head = {"schema_version": 1, "tool": f"archcalc {__version__}"}
    return as_json(head | {"devices": listed, "sources": {name: sources()[name] for name in sorted(used)}})

"""A user's own devices: a YAML file with the keys of the built-in table, every mistake named by line and column."""

import os
from collections.abc import Mapping
from typing import Any, get_args

from archcalc.dialects.fields import in_words, shown, take
from archcalc.dialects.yaml_text import BYTES, Value, read
from archcalc.errors import ModelError, Problems, nearest
from archcalc.hardware.consistency import findings
from archcalc.hardware.device import PLAIN_RATE, RATES, Device, Memory, devices, names

TOP = ("version", "sources", "devices")
NAMES: Any = tuple[str, ...]
FIELDS: dict[str, Any] = {
    "id": str, "name": str, "vendor": str, "arch": str, "year": int, "compute_capability": str, "device_names": NAMES,
    "memory": Memory, "bandwidth_gbps": float, "bus_bits": int, "data_rate_gtps": float, "l2_mb": float,
    "l3_mb": float, "sms": int, "fp32_lanes": int, "fp32_flop_per_lane": int, "boost_mhz": float,
    "tensor_clock_mhz": float, "tdp_w": float, "peak_tflops": dict, "peak_at_max_clock_tflops": dict, "tensor": NAMES,
    "sources": NAMES, "notes": NAMES,
}  # fmt: skip
MEMORY: dict[str, Any] = {"size": float, "unit": str, "type": str, "read_mib": float}
UNITS = get_args(Memory.__annotations__["unit"])
LEAST, MOST = 1e-6, 1e12  # of any figure, in its unit
DENSE = "a rate with sparsity is twice the dense one: state the dense one"


def read_devices(path: str) -> dict[str, Device]:
    """The devices of a file, by id; ModelError (Problems, when several) for all that is wrong with it.

    A row needs `id` and one rate under `peak_tflops`; `name` is the id if not given. What is left out is unknown. Ids
    and driver's names of built-in devices are refused, so that a name means the same device everywhere.
    """
    reader = _Reader(path)
    found = reader.rows(read(_text(path), path, reader.problems))
    if reader.problems:
        raise reader.problems[0] if len(reader.problems) == 1 else Problems(reader.problems)
    return found


def _text(path: str) -> str:
    """The text of a file of a sensible size."""
    try:
        with open(path, "rb") as file:
            data = file.read(BYTES + 1)
    except FileNotFoundError:
        folder = os.path.dirname(path) or "."
        near = nearest(os.path.basename(path), os.listdir(folder), listed=False) if os.path.isdir(folder) else ""
        raise ModelError("devices", "no such file", path, way_out=near) from None
    except (OSError, ValueError) as error:
        raise ModelError("devices", "must be readable", f"{path}: {getattr(error, 'strerror', error)}") from None
    if len(data) > BYTES:
        raise ModelError("devices", f"a file must have at most {BYTES // 2**20} MiB", path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"{path}:{data.count(10, 0, error.start) + 1}"
        raise ModelError("devices", "must be UTF-8 text", f"the byte 0x{data[error.start]:02x}", where=where) from None


class _Reader:
    """One reading of a file: its problems are collected, and raised together at the end."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[ModelError] = []
        self.sources: dict[str, str] = {}
        self.taken = {name: f"the built-in {row.id}" for name, row in names(devices()).items()}

    def rows(self, root: Value) -> dict[str, Device]:
        """Every row in order, by id."""
        listed = self.top(root)
        if listed is None or not self.shaped(listed, "list", "devices", "devices must be a list of rows"):
            return {}
        if not listed.data:
            self.problem(listed, "devices", "needs at least one row", "none")
        rows = [self.row(value, f"devices[{place}]") for place, value in enumerate(listed.data)]
        return {row.id: row for row in rows if row is not None}

    def top(self, root: Value) -> Value | None:
        """What stands under devices: at the top; the sources beside it are kept."""
        if not self.shaped(root, "map", "devices", "must be a mapping with devices"):
            return None
        top = self.keys(root, dict.fromkeys(TOP), "devices")
        version, sources = top.get("version"), top.get("sources")
        if version is not None and (version.data != 1 or version.data is True):
            self.problem(version, "devices", "version must be 1", shown(version.plain))
        if sources is not None and self.shaped(sources, "map", "devices", "sources must be a mapping of names to text"):
            self.sources = {key: item.text for key, item in sources.items()}
        if "devices" not in top:
            self.problem(root, "devices", "needs devices:", "none", "a list of rows with id and peak_tflops")
        return top.get("devices")

    def row(self, value: Value, place: str) -> Device | None:
        """One device; None if something is wrong with it."""
        if not self.shaped(value, "map", place, "must be a mapping with id and peak_tflops"):
            return None
        before = len(self.problems)
        given = dict(value.items())
        subject = given["id"].text if "id" in given and given["id"].text else place
        fields = {
            key: self.field(item, FIELDS[key], subject, key)
            for key, item in self.keys(value, FIELDS, subject).items()
            if item.data is not None
        }
        self.needed(value, fields, subject)
        if len(self.problems) > before:
            return None
        fields["tensor"] = frozenset(fields.get("tensor", ()))
        fields["sources"] = tuple(self.sources.get(source, source) for source in fields.get("sources", ()))
        device = Device(**{"name": subject, **fields})
        self.names(value, device)
        for finding in findings(device):
            if not finding.holds:
                self.problem(value, subject, finding.rule, finding.says, DENSE if "dense" in finding.rule else "")
        return device if len(self.problems) == before else None

    def needed(self, value: Value, fields: Mapping[str, Any], subject: str) -> None:
        """Is there an id, and a rate?"""
        if "id" not in fields:
            self.problem(value, subject, "needs id:", "none", "the name that --device takes")
        if "peak_tflops" not in fields:
            self.problem(value, subject, "needs peak_tflops:", "none", "such as peak_tflops: {fp32: 19.5, fp16: 312}")

    def names(self, value: Value, device: Device) -> None:
        """Are the names of a row its own?"""
        if device.id.lower() == "local" or PLAIN_RATE.fullmatch(device.id):
            self.problem(value, device.id, "id must not be local or a plain rate", device.id)
        own = {name.lower(): name for name in (device.id, *device.device_names)}
        for name in sorted(own.keys() & self.taken.keys()):
            way_out = "give it an id of its own"
            self.problem(value, device.id, f"must not take a name of {self.taken[name]}", own[name], way_out)
        self.taken |= dict.fromkeys(own.keys() - self.taken.keys(), f"{device.id}, above")

    def field(self, value: Value, wanted: Any, subject: str, key: str) -> Any:
        """The value of a key; None, and a problem, if it is none of the wanted type."""
        if wanted is dict:
            return self.rates(value, subject, key)
        if wanted is Memory:
            return self.memory(value, subject)
        if wanted is str and value.shape == "scalar":
            return value.text  # 9.0 is a compute capability, too
        if wanted in (int, float):
            return self.number(value, wanted, subject, key)
        try:
            return take(value, wanted, {}, f"{subject}: {key}")
        except ModelError as error:
            error.where = self.where(value)
            self.problems.append(error)
            return None

    def number(self, value: Value, wanted: type, subject: str, key: str) -> Any:
        """A number above zero."""
        data = value.data
        plain = isinstance(data, int | float) and not isinstance(data, bool)
        if not plain or (wanted is int and not float(data).is_integer()):
            self.problem(value, subject, f"{key} must be {in_words(wanted)}", shown(value.plain))
        elif data <= 0:
            self.problem(value, subject, f"{key} must be above zero", value.text)
        elif not LEAST <= data <= MOST:
            self.problem(value, subject, f"{key} must lie between {LEAST:g} and {MOST:g}", value.text)
        else:
            return wanted(data)
        return None

    def rates(self, value: Value, subject: str, key: str) -> dict[str, float] | None:
        """Rates by name."""
        if not self.shaped(value, "map", subject, f"{key} must be a mapping such as {{fp32: 19.5}}"):
            return None
        if key == "peak_tflops" and all(item.data is None for _, item in value.items()):
            self.problem(value, subject, f"needs at least one rate under {key}", "none", f"known: {', '.join(RATES)}")
        given = self.keys(value, dict.fromkeys(RATES), f"{subject}, {key}")
        return {
            name: self.field(item, float, subject, f"{key}: {name}")
            for name, item in given.items()
            if item.data is not None
        }

    def memory(self, value: Value, subject: str) -> Memory | None:
        """Size, unit and type of the memory."""
        if not self.shaped(value, "map", subject, "memory must be a mapping such as {size: 24, unit: GB}"):
            return None
        given = {
            key: self.field(item, MEMORY[key], subject, f"memory: {key}")
            for key, item in self.keys(value, MEMORY, f"{subject}, memory").items()
            if item.data is not None
        }
        if given.get("unit", "GB") not in UNITS:
            self.problem(value, subject, f"memory: unit must be {', '.join(UNITS[:-1])} or {UNITS[-1]}", given["unit"])
            return None
        return Memory(**given)

    def keys(self, value: Value, known: Mapping[str, Any], subject: str) -> dict[str, Value]:
        """The keys of a mapping; those that are not known become problems."""
        found = {}
        for key, item in value.data:
            if str(key.data) in known:
                found[str(key.data)] = item
            else:
                self.problem(key, subject, "has no such key", str(key.data), nearest(str(key.data), known))
        return found

    def shaped(self, value: Value, shape: str, subject: str, rule: str) -> bool:
        """Has a value this shape? If not, that is a problem."""
        if value.shape != shape:
            self.problem(value, subject, rule, shown(value.plain))
        return value.shape == shape

    def problem(self, value: Value, subject: str, rule: str, got: str, way_out: str = "") -> None:
        self.problems.append(ModelError(subject, rule, got, where=self.where(value), way_out=way_out))

    def where(self, value: Value) -> str:
        return f"{self.file}:{value.line}:{value.column}"

"""How much memory a network takes, at inference and in training: named quantities, and each peak with its moment."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from archcalc import __version__
from archcalc.algebra.dtype import HALVES, MODEL_DTYPES
from archcalc.errors import UsageError
from archcalc.hardware.allocator import Allocator
from archcalc.layers.layer import Shape
from archcalc.model.network import Network, one_of
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.questions.account import Account, Choices, Peak, Row
from archcalc.questions.ledger import Moment
from archcalc.questions.optimizers import OPTIMIZERS
from archcalc.views import memory as views

TRAINED = ("float64", "float32", *HALVES)


class Memory(Struct, frozen=True, dict=True, eq=False):
    """Everything that takes memory, in bytes; `str()` is the page. `quantities` are the named sizes."""

    model: str
    inputs: dict[str, Shape]
    dtype: str
    choices: Choices
    status: str
    notes: tuple[str, ...]
    quantities: dict[str, int]
    rows: tuple[Row, ...]
    inference: Peak
    training: Peak | None
    moments: tuple[Moment, ...]  # of what was asked for: training, else inference
    classroom: dict[str, int]
    events: tuple[tuple[str, int], ...]  # taking and freeing blocks, as an allocator sees one pass
    standing: tuple[int, ...]  # bytes of the blocks that are there all along
    derive: Callable[[], dict[str, Any]]

    @property
    def peak(self) -> Peak:
        """Of training, if that was asked for, else of inference."""
        return self.training or self.inference

    @cached_property
    def reserved_bytes(self) -> int:
        """What PyTorch's caching allocator takes from the driver, from the second step on."""
        allocator = Allocator()
        allocator.run([(f"standing {number}", size) for number, size in enumerate(self.standing)])
        for _ in range(2):
            allocator.run(self.events)
            allocator.run([(name, 0) for name in list(allocator.taken) if not str(name).startswith("standing ")])
        return allocator.reserved

    def forms(self) -> dict[str, Any]:
        """Every quantity as a closed form in the axes and the batch N, before rounding; a peak as of its moment."""
        return self.derive()

    def plot(self, path: str) -> None:
        """Draw the timeline into an SVG or PNG file."""
        views.plot(self, path)

    def __str__(self) -> str:
        return views.text(self, 80)

    def _repr_html_(self) -> str:
        return views.html(self)

    def __repr__(self) -> str:
        return f"<Memory of {self.model}: {self.peak.bytes:,} B at the peak, {self.peak.when}>"

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "schema_version": 1,
            "tool": f"archcalc {__version__}",
            "model": self.model,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "dtype": self.dtype,
            "choices": to_builtins(self.choices),
            "status": self.status,
            "notes": list(self.notes),
            "rows": [to_builtins(row) for row in self.rows],
            "totals": {**self.quantities, "reserved_bytes": self.reserved_bytes},
            "peaks": {
                name: {"bytes": peak.bytes, "when": peak.when, "parts": peak.parts}
                for name, peak in (("inference", self.inference), ("training", self.training))
                if peak is not None
            },
            "classroom": self.classroom,
            "timeline": [to_builtins(moment) for moment in self.moments],
        }


def memory(
    model: Network, input: Sizes | Mapping[str, Sizes] | None = None, *, batch: int = 1, dtype: str = "float32",
    **choices: Any,
) -> Memory:  # fmt: skip
    """The memory of a network; see Model.memory."""
    one_of("dtype", dtype, MODEL_DTYPES)
    chosen = checked(choices, dtype)
    shapes = full_shapes(model.inputs, input, batch)
    account = Account(model, model.walk(shapes), shapes, dtype, chosen)
    inference, quiet = account.peak(training=False)
    training, ledger = account.peak(training=True) if chosen.training else (None, quiet)
    quantities = account.quantities() | {"inference_peak_bytes": inference.bytes}
    if training is not None:
        quantities["training_peak_bytes"] = training.bytes
    notes = account.notes()
    return Memory(
        model.name, shapes, dtype, chosen, "partial" if notes else "complete", tuple(notes), quantities,
        tuple(account.rows), inference, training, tuple(ledger.moments), account.classroom(),
        tuple(ledger.events), tuple(account.standing(training=chosen.training)),
        lambda: _forms(model, input, batch, dtype, chosen),
    )  # fmt: skip


def _forms(
    model: Network, input: Sizes | Mapping[str, Sizes] | None, batch: int, dtype: str, choices: Choices
) -> dict[str, Any]:
    from archcalc.questions.memory_forms import forms

    return forms(model, input, batch, dtype, replace(choices, allocator="exact"))


def checked(given: Mapping[str, Any], dtype: str) -> Choices:
    """The choices, if they are possible together."""
    for name in given:
        one_of("memory", name, Choices.__struct_fields__)
    choices = Choices(**given)
    for name in ("training", "in_place", "set_to_none", "master"):
        if not isinstance(getattr(choices, name), bool):
            raise UsageError(name, "must be True or False", repr(getattr(choices, name)))
    one_of("optimizer", choices.optimizer, OPTIMIZERS)
    one_of("hold", choices.hold, ("reads", "blocks"))
    one_of("allocator", choices.allocator, ("cuda", "exact"))
    if choices.amp is not None:
        one_of("amp", choices.amp, HALVES)
        if dtype != "float32":
            raise UsageError("--amp", "mixed precision keeps float32 weights", f"--dtype {dtype}")
    for name, number in (("every=K", choices.checkpoint), ("depth=D", choices.depth)):
        if number is not None and (type(number) is not int or number < 1):
            raise UsageError("--checkpoint", f"must be {name} with {name[-1]} at least 1", f"{number}")
    about_training(choices, dtype)
    return choices


def about_training(choices: Choices, dtype: str) -> None:
    """Refuse what is asked of training without it, and training that is not possible."""
    asked = {
        "--checkpoint": choices.checkpoint is not None,
        "--master-weights": choices.master,
        "--keep-gradients": not choices.set_to_none,
    }
    for name in (name for name, wanted in asked.items() if wanted and not choices.training):
        raise UsageError(name, "is about training", "no --training")
    if choices.training and dtype not in TRAINED:
        raise UsageError("--training", f"computes in {', '.join(TRAINED)}", f"--dtype {dtype}")
    if choices.master and dtype not in HALVES:
        raise UsageError("--master-weights", f"is about {' and '.join(HALVES)}", f"--dtype {dtype}")

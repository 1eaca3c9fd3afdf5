"""Memory as a page: the named sizes, each peak with its moment and parts, a timeline, the classroom's figures."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from archcalc.algebra.units import grouped, iec
from archcalc.layers.layer import shown
from archcalc.views import notebook
from archcalc.views.drawing import check_file, save
from archcalc.views.table import Table, csv_text

BARS = "▁▂▃▄▅▆▇█"
STRETCHED = 6  # columns that one moment takes at most
PHASES = {"forward": "forward", "again": "backward", "backward": "backward", "step": "step"}
NAMES = {
    "weight_bytes": "weights",
    "buffer_bytes": "buffers",
    "input_bytes": "inputs",
    "output_bytes": "outputs of all layers",
    "saved_bytes": "saved for backward",
    "gradient_bytes": "gradients of weights",
    "optimizer_bytes": "optimizer state",
    "master_bytes": "float32 copy of weights",
    "inference_peak_bytes": "inference peak",
    "training_peak_bytes": "training peak",
}
LEFT_OUT = "cuBLAS workspace (8,519,680 B, on Hopper 33,554,432 B), cuDNN workspaces, the CUDA context"


def text(memory: Any, width: int, *, classroom: bool = False) -> str:
    """The page for a terminal."""
    blocks = [
        textwrap.fill(heading(memory), width, subsequent_indent="  "),
        _columns(sizes(memory), width),
        "\n".join([f"{_at_peak(memory)}:", _columns(parts(memory), width)]),
        timeline(memory.moments, width),
    ]
    if classroom:
        blocks.append(beside(memory))
    return "\n\n".join([*blocks, "\n".join(closing(memory, width))])


def html(memory: Any) -> str:
    """The page for a notebook."""
    shapes = {name: shown(shape) for name, shape in memory.inputs.items()}
    titles, numeric = ("", "bytes", "", "when"), (False, True, True, False)
    quantities = Table(titles, numeric, tuple(map(tuple, sizes(memory))))
    held = Table(titles[:3], numeric[:3], tuple(tuple(line[:3]) for line in parts(memory)))
    return notebook.frame(
        notebook.heading(memory.model, shapes, memory.dtype, *chosen(memory)),
        notebook.table(quantities),
        notebook.paragraph(f"{_at_peak(memory)}:"),
        notebook.table(held),
        notebook.preformatted(timeline(memory.moments, 100)),
        notebook.folded("What each layer adds", notebook.table(table(memory)), opened=False),
        notebook.paragraphs(closing(memory, 10**6)),
    )


def sizes(memory: Any) -> list[list[str]]:
    """Every named quantity: what, bytes, the same rounded, and when or under which condition."""
    whens = {"inference_peak_bytes": memory.inference.when}
    if memory.training is not None:
        whens["training_peak_bytes"] = memory.training.when
    if memory.choices.checkpoint:
        whens["saved_bytes"] = "without checkpoints"
    lines = [[NAMES[name], grouped(size), iec(size), whens.get(name, "")] for name, size in memory.quantities.items()]
    reserved = memory.reserved_bytes
    return [*lines, ["reserved by the allocator", grouped(reserved), iec(reserved), "its rules replayed"]]


def parts(memory: Any) -> list[list[str]]:
    """What the peak is made of."""
    return [[f"  {name}", grouped(size), iec(size), ""] for name, size in memory.peak.parts.items()]


def _at_peak(memory: Any) -> str:
    return f"At the {'training' if memory.training is not None else 'inference'} peak, {memory.peak.when}"


def heading(memory: Any) -> str:
    """What it is the memory of, and under which choices."""
    inputs = ", ".join(f"{name} {shown(shape)}" for name, shape in memory.inputs.items())
    return f"{memory.model}: {inputs}, {memory.dtype}, {', '.join(chosen(memory))}"


def chosen(memory: Any) -> list[str]:
    """The choices in words."""
    choices = memory.choices
    said = [f"training with {choices.optimizer}"] if choices.training else ["inference"]
    said += [f"mixed precision {choices.amp}"] if choices.amp else []
    deep = f" at depth {choices.depth}" if choices.depth > 1 else ""
    said += [f"a checkpoint every {choices.checkpoint}{deep}"] if choices.checkpoint else []
    said += ["activations in place"] if choices.in_place else []
    return said + (["blocks hold their inputs"] if choices.hold == "blocks" else [])


def _columns(lines: Sequence[Sequence[str]], width: int) -> str:
    sizes = [max(len(line[column]) for line in lines) for column in range(3)]
    made = []
    for name, exact, rounded, note in lines:
        line = f"{name.ljust(sizes[0])}  {exact.rjust(sizes[1])}  {rounded.rjust(sizes[2])}"
        room = width - len(line) - 2
        made += [line] if not note or len(note) <= room else [line, " " * 4 + note]
        made[-1] = f"{line}  {note}".rstrip() if len(note) <= room else made[-1]
    return "\n".join(made)


def timeline(moments: Sequence[Any], width: int) -> str:
    """What is taken from moment to moment as a line of bars, the phases named below."""
    if not moments:
        return "timeline  nothing runs"
    room = max(16, width - 10)
    moments = [moment for moment in moments for _ in range(max(1, min(STRETCHED, room // len(moments))))]
    bins = min(room, len(moments))
    cut = [moments[place * len(moments) // bins : (place + 1) * len(moments) // bins] for place in range(bins)]
    heights = [max(moment.bytes for moment in part) for part in cut]
    most = max(*heights, 1)
    bars = "".join(BARS[min(7, height * 8 // (most + 1))] for height in heights)
    marks, last = "", ""
    for part in cut:
        phase = PHASES[part[0].phase]
        marks += "|" if phase != last else " "
        last = phase
    names = list(dict.fromkeys(PHASES[part[0].phase] for part in cut))
    for name in names:
        place = next(at for at, part in enumerate(cut) if PHASES[part[0].phase] == name)
        if marks[place + 1 : place + 1 + len(name)].strip() == "":
            marks = marks[: place + 1] + name + marks[place + 1 + len(name) :]
    return f"timeline  {bars}\n          {marks.rstrip()}"


def beside(memory: Any) -> str:
    """The classroom's figure, and part by part what separates it from the peak."""
    name = "training" if memory.training is not None else "inference"
    figure, parts = memory.classroom[name], memory.peak.parts
    weights = memory.quantities["weight_bytes"]
    given = memory.quantities["input_bytes"] if name == "training" else 0
    maps = "maps of all layers" if name == "training" else "two neighbouring maps"
    counted = {"weights": weights, "inputs": given, maps: figure - weights - given}
    rows = [
        (part, grouped(counted.get(part, 0)) if part in counted else "", grouped(parts[part]) if part in parts else "")
        for part in dict.fromkeys((*counted, *parts))
    ]
    table = Table(("part", "classroom", "at the peak"), (False, True, True), tuple(rows),
                  ("total", grouped(figure), grouped(memory.peak.bytes)))  # fmt: skip
    return f"The classroom's figure for {name} beside the peak, in bytes:\n{table.text()}"


def closing(memory: Any, width: int) -> Iterator[str]:
    """What the figures rest on."""
    choices = memory.choices
    held = "until every block that reads it has ended" if choices.hold == "blocks" else "until its last reader has run"
    rounding = "blocks of 512 B" if choices.allocator == "cuda" else "every byte as it is"
    said = [f"eager PyTorch on CUDA, {rounding}; a value stays {held}; the caller holds inputs and outputs"]
    if choices.training:
        kind = "made anew in each step" if choices.set_to_none else "kept from step to step"
        said.append(f"steady state, from the second step on; gradients {kind}")
    said.append(f"not counted: {LEFT_OUT}")
    yield from textwrap.wrap(f"Assumes {'; '.join(said)}.", width)
    yield f"Status: {memory.status}"
    for note in memory.notes:
        yield from textwrap.wrap(f"Note: {note}", width, subsequent_indent="  ")


def plot(memory: Any, path: str) -> None:
    """Draw what is taken from moment to moment, the peak marked, into an SVG or PNG file."""
    check_file(path)
    from matplotlib import pyplot

    sizes = [moment.bytes / 2**20 for moment in memory.moments]
    places = range(len(sizes))
    figure, panel = pyplot.subplots(figsize=(9, 4), layout="constrained")
    for phase, colour in (("forward", "tab:blue"), ("backward", "tab:orange"), ("step", "tab:green")):
        of = [PHASES[moment.phase] == phase for moment in memory.moments]
        if any(of):
            panel.fill_between(places, sizes, where=of, step="mid", alpha=0.35, color=colour, label=phase)
    panel.step(places, sizes, where="mid", color="black", linewidth=0.8)
    standing = sum(memory.standing) / 2**20
    panel.axhline(standing, color="grey", linestyle=":", label="weights, buffers, inputs, optimizer")
    top = max(places, key=lambda place: sizes[place], default=0)
    label = f"{iec(memory.peak.bytes)} {memory.peak.when}"
    side = "right" if top > len(sizes) / 2 else "left"
    panel.annotate(label, (top, sizes[top]), xytext=(0, 6), textcoords="offset points", ha=side, fontsize="small")
    panel.set(xlabel="layer by layer", ylabel="memory [MiB]", title=heading(memory), ylim=(0, max(sizes) * 1.12))
    panel.legend(fontsize="small", loc="lower left" if side == "right" else "lower right")
    save(figure, path)


def written(forms: Mapping[str, Any]) -> dict[str, str]:
    """Closed forms as text."""
    from archcalc.algebra.written import written as line

    return {
        name: line(form) if getattr(form, "free_symbols", None) else grouped(int(form)) for name, form in forms.items()
    }


def formulas(memory: Any, width: int) -> str:
    """Every quantity as a closed form in the axes and the batch N."""
    peaks = {"inference_peak_bytes": memory.inference, "training_peak_bytes": memory.training}
    lines = []
    for name, form in written(memory.forms()).items():
        when = f", {peaks[name].when}" if name in peaks else ""
        lines += [f"{NAMES[name]}{when}", *textwrap.wrap(form, width, initial_indent="  ", subsequent_indent="    ")]
    said = "In bytes, before rounding; N is the batch. A peak is what its moment takes: at other sizes another may be."
    return "\n".join([*textwrap.wrap(said, width), *lines])


def csv(memory: Any) -> str:
    """What each layer adds, as comma-separated values."""
    rows = [(row.name, row.kind, row.output_bytes, row.saved_bytes) for row in memory.rows]
    return csv_text(("name", "kind", "output_bytes", "saved_bytes"), rows)


def table(memory: Any) -> Table:
    """What each layer adds."""
    rows = tuple((row.name, row.kind, grouped(row.output_bytes), grouped(row.saved_bytes)) for row in memory.rows)
    totals: Mapping[str, int] = memory.quantities
    total = ("total", "", grouped(totals["output_bytes"]), grouped(totals.get("saved_bytes", 0)))
    return Table(("layer", "kind", "output bytes", "saved bytes"), (False, False, True, True), rows, total)

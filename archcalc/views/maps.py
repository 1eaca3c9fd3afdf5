"""Feature maps and found places as pictures."""

from collections.abc import Sequence
from typing import Any

from archcalc.layers.layer import shown
from archcalc.views import notebook
from archcalc.views.drawing import check_file, save
from archcalc.views.table import Table

DRAWN = 4096  # maps of one picture


def plot(maps: Any, path: str) -> None:
    """A labelled map for each channel on one colour scale; a layer without places as one strip."""
    check_file(path)
    from matplotlib import pyplot

    values = maps.values if maps.values.ndim == 3 else maps.values.reshape(1, 1, -1)
    scale = colours(float(values.min()), float(values.max()))
    if maps.values.ndim != 3:
        figure, drawn = strip(pyplot, values[0], scale)
    else:
        figure, drawn = grid(pyplot, values[:DRAWN], scale)
    weights = "PyTorch's initial weights" if maps.random_weights else "given weights"
    left_out = f", the first {DRAWN} of {len(values)}" if len(values) > DRAWN else ""
    size = " × ".join(map(str, maps.values.shape))
    figure.suptitle(f"{maps.model}, {maps.layer}: {size}, {weights}{left_out}", fontsize="medium")
    figure.colorbar(drawn, ax=figure.axes, shrink=0.6, pad=0.02)
    save(figure, path)


def colours(low: float, high: float) -> dict[str, Any]:
    """One scale for all maps: around zero where signs differ, else from the smallest to the largest."""
    if low < 0 < high:
        most = max(-low, high)
        return {"cmap": "RdBu_r", "vmin": -most, "vmax": most}
    return {"cmap": "viridis", "vmin": low, "vmax": high if high > low else low + 1}


def grid(pyplot: Any, values: Any, scale: dict[str, Any]) -> tuple[Any, Any]:
    """Maps in rows, about as wide as high."""
    count, height, width = values.shape
    columns = max(1, min(count, round((count * height / width * 1.4) ** 0.5)))
    rows = -(-count // columns)
    side = max(0.45, min(2.4, 14 / columns))
    figure, panels = pyplot.subplots(
        rows,
        columns,
        squeeze=False,
        layout="compressed",
        figsize=(side * columns + 1, side * rows * height / width + 0.8),
    )
    for panel in panels.flat:
        panel.axis("off")
    for number, (panel, image) in enumerate(zip(panels.flat, values, strict=False)):
        drawn = panel.imshow(image, interpolation="nearest", **scale)
        panel.set_title(str(number), fontsize=max(4, min(9, 6 * side)), pad=1)
    return figure, drawn


def strip(pyplot: Any, values: Any, scale: dict[str, Any]) -> tuple[Any, Any]:
    """One row of cells, numbered."""
    figure, panel = pyplot.subplots(figsize=(12, 1.9), layout="compressed")
    drawn = panel.imshow(values, aspect="auto", interpolation="nearest", **scale)
    panel.set_yticks([])
    count = values.shape[1]
    step = max(1, count // 20)
    panel.set_xticks(range(0, count, step))
    panel.tick_params(labelsize="small")
    return figure, drawn


def boxes(image: Any, found: Sequence[Any], classes: Sequence[str], path: str) -> None:
    """The picture with the box, class and score of each place."""
    check_file(path)
    from matplotlib import patches, pyplot

    channels, height, width = image.shape
    side = 9 / max(height, width)
    figure, panel = pyplot.subplots(figsize=(max(2.0, width * side), max(2.0, height * side)), layout="constrained")
    panel.imshow(image[0] if channels != 3 else image.transpose(1, 2, 0), cmap="gray", interpolation="nearest")
    for place in found:
        y0, x0, y1, x1 = place.box
        colour = f"C{place.channel % 10}"
        panel.add_patch(
            patches.Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.2)
        )
        name = classes[place.channel] if place.channel < len(classes) else str(place.channel)
        panel.text(x0 - 0.5, y0 - 1, f"{name} {place.score:.2g}", color=colour, fontsize=7, va="bottom")
    panel.set_axis_off()
    save(figure, path)


def text(found: Any, classes: Sequence[str]) -> str:
    """The places as a table, the strongest first."""
    head = f"{found.model}, {found.layer}: {reported(found)}"
    return f"{head}\n\n{table(found, classes).text()}" if found.places else head


def places_html(found: Any) -> str:
    """The places for a notebook, classes by number."""
    head = notebook.heading(found.model, {}, found.layer, reported(found))
    return notebook.frame(head, notebook.table(table(found, ())) if found.places else "")


def maps_html(found: Any) -> str:
    """What the maps are of, for a notebook; `plot` draws them."""
    weights = "PyTorch's initial ones" if found.random_weights else "given ones"
    said = {"maps": shown(found.values.shape), "weights": weights,
            "values": f"{found.values.min():.4g} to {found.values.max():.4g}"}  # fmt: skip
    head = notebook.heading(found.model, {"image": shown(found.image)}, found.layer)
    return notebook.frame(head, notebook.entries(said.items()))


def reported(found: Any) -> str:
    """How many places, where, and what they reach."""
    size = " × ".join(map(str, found.image))
    return f"{len(found.places)} places in {size}, {found.cells} cells of at least {found.threshold:g}"


def table(found: Any, classes: Sequence[str]) -> Table:
    """A row for each place."""
    rows = tuple(
        (
            classes[place.channel] if place.channel < len(classes) else str(place.channel), f"{place.score:.4g}",
            ",".join(map(str, place.cell)), ",".join(map(str, place.box)), ",".join(f"{at:g}" for at in place.centre),
        )
        for place in found.places
    )  # fmt: skip
    titles = ("class", "score", "cell", "box: top,left,bottom,right", "centre")
    return Table(titles, (False, True, True, True, True), rows)

"""A model at a glance: what it costs at its own size, and its layers, folded into blocks where they are many."""

from typing import Any

from archcalc.errors import ArchcalcError
from archcalc.views import notebook
from archcalc.views.columns import chosen
from archcalc.views.report import summary, table, titled

COLUMNS = "name,kind,output,params,macs"


def html(model: Any) -> str:
    """The summary for a notebook."""
    try:
        report = model.report()
    except ArchcalcError as error:  # a model that does not fit together still shows what is wrong with it
        return notebook.frame(notebook.paragraph(repr(model)), notebook.preformatted(str(error)))
    about = notebook.paragraph(model.about) if model.about else ""
    return notebook.frame(titled(report), about, notebook.entries(summary(report)), layers(model, report))


def layers(model: Any, report: Any) -> str:
    """Its layers as a table, or the blocks that are just few enough to be read."""
    depth = readable([row.name for row in report.rows])
    said = f"{len(report.rows):,} layer{'' if len(report.rows) == 1 else 's'}"
    if depth is not None:
        report = model.report(depth=depth)
        said += f", as {len(report.rows):,} blocks and layers at depth {depth}; model.report() lists them all"
    rows = notebook.table(table(report, chosen(COLUMNS), "channels_first"))
    return notebook.folded(said, rows, opened=len(report.rows) <= notebook.FEW)


def readable(names: list[str]) -> int | None:
    """The deepest level of path names that leaves few enough rows, if any does; None where no folding is needed.

    >>> readable(["a", "b"]), readable([f"block{n // 9}/conv{n}" for n in range(90)])
    (None, 1)
    """
    if len(names) <= notebook.FEW:
        return None
    paths = [name.split("/") for name in names]
    counts = [len({tuple(path[:depth]) for path in paths}) for depth in range(1, max(map(len, paths)))]
    if not counts or counts[0] == len(names):
        return None
    return max((depth for depth, count in enumerate(counts, 1) if count <= notebook.FEW), default=1)

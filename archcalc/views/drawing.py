"""What all plots share: the file they go to, and Matplotlib, which only they load."""

import os
from typing import Any

from archcalc.errors import CannotRun, UsageError


def check_file(path: str) -> None:
    """Refuse a file that cannot be drawn into, before anything is computed."""
    if not path.endswith((".svg", ".png")):
        raise UsageError("--plot", "must be an .svg or .png file", path)
    try:
        import matplotlib

        matplotlib.use("Agg")
    except ModuleNotFoundError as error:
        way_out = "pip install 'archcalc[plot]', or '.[plot]' in a copy of the repository"
        raise CannotRun("plot", "needs Matplotlib", str(error), way_out=way_out) from None


def save(figure: Any, path: str) -> None:
    """Written beside its place first, and then put there; the figure is closed."""
    from matplotlib import pyplot

    beside = f"{path}.{os.getpid()}.part"
    try:
        figure.savefig(beside, format=path.rsplit(".", 1)[1], dpi=150)
        os.replace(beside, path)
    except OSError as error:
        raise UsageError("--plot", "must be a file that can be written", f"{path}: {error.strerror}") from None
    finally:
        pyplot.close(figure)
        if os.path.exists(beside):
            os.unlink(beside)

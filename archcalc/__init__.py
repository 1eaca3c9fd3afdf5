"""archcalc: what a neural network costs, exactly, with its working shown.

>>> import archcalc
>>> archcalc.load("zoo:digits").report(input="1024x1024").totals.macs
1761730400
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "ArchcalcError",
    "Input",
    "Model",
    "Report",
    "__version__",
    "layers",
    "load",
    "loads",
    "torch",
    "verify",
    "verify_kinds",
]

if TYPE_CHECKING:
    from archcalc import layers
    from archcalc.crosscheck.kinds import verify_kinds
    from archcalc.crosscheck.verify import verify
    from archcalc.dialects import torch_face as torch
    from archcalc.dialects.yaml import load, loads
    from archcalc.errors import ArchcalcError
    from archcalc.model.graph import Input
    from archcalc.model.report import Report
    from archcalc.questions.model import Model

_HOMES = {  # loaded when first asked for, so that `import archcalc` costs nothing
    "ArchcalcError": "archcalc.errors",
    "Input": "archcalc.model.graph",
    "Model": "archcalc.questions.model",
    "Report": "archcalc.model.report",
    "load": "archcalc.dialects.yaml",
    "loads": "archcalc.dialects.yaml",
}
_ROOMS = {"layers": "archcalc.layers", "torch": "archcalc.dialects.torch_face"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _ROOMS:
        return _needing_torch(_ROOMS[name]) if name == "torch" else import_module(_ROOMS[name])
    if name in ("verify", "verify_kinds"):
        return getattr(_needing_torch(f"archcalc.crosscheck.{'kinds' if name == 'verify_kinds' else name}"), name)
    if name not in _HOMES:
        raise AttributeError(f"module 'archcalc' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def _needing_torch(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        from archcalc.errors import CannotRun

        needed = "PyTorch" if error.name == "torch" else f"the package {error.name}"
        raise CannotRun("torch", f"needs {needed}", str(error), way_out="pip install 'archcalc[torch]'") from None


def __dir__() -> list[str]:
    return sorted(__all__)

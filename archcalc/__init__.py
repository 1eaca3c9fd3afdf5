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
    "from_keras",
    "from_onnx",
    "from_torch",
    "layers",
    "load",
    "loads",
    "reconcile",
    "torch",
    "verify",
    "verify_kinds",
]

if TYPE_CHECKING:
    from archcalc import layers
    from archcalc.crosscheck.kinds import verify_kinds
    from archcalc.crosscheck.verify import verify
    from archcalc.dialects import torch_face as torch
    from archcalc.dialects.keras_read import from_keras
    from archcalc.dialects.onnx_read import from_onnx
    from archcalc.dialects.reconciling import reconcile
    from archcalc.dialects.sources import load
    from archcalc.dialects.torch_import import from_torch
    from archcalc.dialects.yaml import loads
    from archcalc.errors import ArchcalcError
    from archcalc.model.graph import Input
    from archcalc.model.report import Report
    from archcalc.questions.model import Model

_HOMES = {  # loaded when first asked for, so that `import archcalc` costs nothing
    "ArchcalcError": "archcalc.errors",
    "Input": "archcalc.model.graph",
    "Model": "archcalc.questions.model",
    "Report": "archcalc.model.report",
    "from_keras": "archcalc.dialects.keras_read",
    "from_onnx": "archcalc.dialects.onnx_read",
    "load": "archcalc.dialects.sources",
    "loads": "archcalc.dialects.yaml",
    "reconcile": "archcalc.dialects.reconciling",
}
_WITH_TORCH = {
    "from_torch": "archcalc.dialects.torch_import",
    "verify": "archcalc.crosscheck.verify",
    "verify_kinds": "archcalc.crosscheck.kinds",
}
_ROOMS = {"layers": "archcalc.layers", "torch": "archcalc.dialects.torch_face"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _ROOMS:
        return _needing_torch(_ROOMS[name]) if name == "torch" else import_module(_ROOMS[name])
    if name in _WITH_TORCH:
        return getattr(_needing_torch(_WITH_TORCH[name]), name)
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

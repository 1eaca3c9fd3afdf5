"""The real counters, each on its own copy of a built network; run as a program, it answers jobs line by line."""

import contextlib
import copy
import importlib
import importlib.metadata
import importlib.util
import io
import json
import logging
import os
import subprocess
import sys
import types
import warnings

# No build of torchvision goes with the CPU build of torch; where it is installed, importing it needs its operators.
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))

PACKAGES = {  # tool: what is imported, and the distribution that has its version
    "torch": ("torch.utils.flop_counter", "torch"),
    "fvcore": ("fvcore.nn", "fvcore"),
    "thop": ("thop", "thop"),
    "ptflops": ("ptflops", "ptflops"),
    "ptflops-aten": ("ptflops", "ptflops"),
    "torchinfo": ("torchinfo", "torchinfo"),
    "calflops": ("calflops", "calflops"),
    "torchprofile": ("torchprofile", "torchprofile"),
    "deepspeed": ("deepspeed.profiling.flops_profiler", "deepspeed"),
}


def torch(network, inputs):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network.to("meta")(*(x.to("meta") for x in inputs))
    return {"flops": counter.get_total_flops()}


def fvcore(network, inputs):
    from fvcore.nn import FlopCountAnalysis, parameter_count

    analysis = FlopCountAnalysis(network, inputs).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return {"macs": analysis.tracer_warnings("none").total(), "params": parameter_count(network)[""]}


def thop(network, inputs):
    import thop

    macs, params = thop.profile(network, inputs, verbose=False)
    return {"macs": macs, "params": params}


def ptflops(network, inputs, backend="pytorch"):
    from ptflops import get_model_complexity_info
    from torch import nn

    class Named(nn.Module):
        """Takes the inputs by name, as ptflops hands them over."""

        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, **named):
            return self.network(*named.values())

    made = {f"x{number}": x for number, x in enumerate(inputs)}
    macs, params = get_model_complexity_info(
        Named(), (1,), as_strings=False, print_per_layer_stat=False, input_constructor=lambda _: made, backend=backend
    )
    if macs is None:
        raise RuntimeError("ptflops gave up")
    return {"macs": macs, "params": params}


def ptflops_aten(network, inputs):
    return ptflops(network, inputs, "aten")


def torchinfo(network, inputs):
    import torchinfo

    found = torchinfo.summary(network, input_data=inputs, verbose=0, device="cpu")
    return {"macs": found.total_mult_adds, "params": found.total_params}


def calflops(network, inputs):
    from calflops import calculate_flops

    if not list(network.parameters()):
        network.register_parameter("spare", _spare())  # it asks the first parameter for its device
    args = [*inputs]
    flops, macs, params = calculate_flops(network, args=args, output_as_string=False, print_results=False)
    return {"flops": flops, "macs": macs, "params": params - _spare().numel() * hasattr(network, "spare")}


def torchprofile(network, inputs):
    from torchprofile import profile_macs

    return {"macs": profile_macs(network, inputs)}


def deepspeed(network, inputs):
    from deepspeed.profiling.flops_profiler import get_model_profile

    flops, macs, params = get_model_profile(network, args=[*inputs], print_profile=False, as_string=False, warm_up=0)
    return {"flops": flops, "macs": macs, "params": params}


RUNNERS = {
    "torch": torch, "fvcore": fvcore, "thop": thop, "ptflops": ptflops, "ptflops-aten": ptflops_aten,
    "torchinfo": torchinfo, "calflops": calflops, "torchprofile": torchprofile, "deepspeed": deepspeed,
}  # fmt: skip


def _spare():
    from torch import nn, zeros

    return nn.Parameter(zeros(1))


def absent(tool):
    """Why a tool cannot be run here; empty if it can."""
    module = PACKAGES[tool][0]
    if importlib.util.find_spec(module.split(".")[0]) is None:
        return f"{module.split('.')[0]} is not installed"
    if tool == "calflops" and importlib.util.find_spec("transformers") is None:
        return "calflops needs transformers"
    return ""


def version(tool):
    return importlib.metadata.version(PACKAGES[tool][1])


@contextlib.contextmanager
def restored():
    """Functions that a tool has patched go back to their places, also where it raised and left them."""
    import torch

    places = (torch, torch.Tensor, torch.nn.functional)
    before = [dict(vars(place)) for place in places]
    try:
        yield
    finally:
        for place, names in zip(places, before, strict=True):
            for name, value in names.items():
                if vars(place).get(name) is not value:
                    setattr(place, name, value)
        for room in ("calflops.calculate_pipline", "deepspeed.profiling.flops_profiler.profiler"):
            for stack in ("module_flop_count", "module_mac_count"):
                getattr(sys.modules.get(room), stack, []).clear()


def measure(tool, network, inputs):
    """What the tool prints, as whole numbers; a tool that raises says so."""
    import torch

    mine = copy.deepcopy(network).eval()
    try:
        with (
            restored(),
            torch.no_grad(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            found = RUNNERS[tool](mine, inputs)
    except Exception as error:
        return {"raises": f"{type(error).__name__}: {error}"}
    assert all(float(value).is_integer() for value in found.values()), found
    return {name: int(value) for name, value in found.items()}


def by_hand(name):
    """A module as people write it, and the shape of its input: those of BY_HAND in the tests."""
    from torch import nn

    class First(nn.Module):
        """A recurrent module without its states."""

        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, x):
            return self.module(x)[0]

    make = {
        "lstm": lambda: First(nn.LSTM(5, 6, 2, batch_first=True, bidirectional=True)),
        "projected lstm": lambda: First(nn.LSTM(5, 6, 2, batch_first=True, proj_size=3, bias=False)),
        "gru": lambda: First(nn.GRU(5, 6, 2, batch_first=True)),
        "rnn": lambda: First(nn.RNN(5, 6, batch_first=True, bias=False)),
        "norms": lambda: nn.Sequential(nn.LayerNorm(8), nn.RMSNorm(8)),
        "upsample": lambda: nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.AdaptiveAvgPool2d(1)),
        "upsample by two": lambda: nn.Sequential(nn.Upsample(scale_factor=(2, 3))),
        "upsample to a size": lambda: nn.Sequential(nn.Upsample(size=(5, 6), mode="bicubic")),
        "upsample a line": lambda: nn.Sequential(nn.Upsample(scale_factor=2, mode="linear")),
        "upsample a volume": lambda: nn.Sequential(nn.Upsample(scale_factor=2, mode="trilinear")),
    }
    return make[name]()


def run(job):
    import torch

    import archcalc
    from archcalc.dialects.torch_face import build
    from archcalc.model.sizes import full_shapes

    model = archcalc.load(job["spec"]) if job["spec"].startswith("zoo:") else archcalc.loads(job["spec"])
    shapes = full_shapes(model.inputs, job.get("input"), 1)
    network = by_hand(job["by_hand"]) if job["by_hand"] else build(model, job.get("input"))

    def tensor(name):
        dtype = model.inputs[name].dtype
        return torch.rand(shapes[name]) if dtype is None else torch.zeros(shapes[name], dtype=getattr(torch, dtype))

    inputs = tuple(tensor(name) for name in model.inputs)
    with torch.no_grad():
        copy.deepcopy(network).eval()(*inputs)  # what PyTorch refuses is no matter of a tool
    return {tool: measure(tool, network, inputs) for tool in job["tools"]}


class Worker:
    """A process that runs tools one job after another, so that what they leave behind stays there."""

    def __init__(self):
        where = {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
        command = [sys.executable, "-m", "tests.reconciling"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=where
        )

    def ask(self, tools, spec, input=None, by_hand=None):
        job = {"tools": list(tools), "spec": spec, "input": input, "by_hand": by_hand}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def main():
    out, sys.stdout = sys.stdout, sys.stderr
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for module in {PACKAGES[tool][0] for tool in PACKAGES if not absent(tool)}:
        importlib.import_module(module)
    for line in sys.stdin:
        try:
            answer = run(json.loads(line))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    main()

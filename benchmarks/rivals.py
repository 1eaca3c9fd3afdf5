"""archcalc beside other counters: the same networks; counts compared, then warm time, whole processes and memory.

Every tool counts in a process of its own, in the interpreter given by `--python`; this program starts them in turn.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from math import prod
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).parent
FOLDER = TemporaryDirectory(prefix="archcalc-rivals-")  # bytecode of all sides, made in the round that warms up
ALIKE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "COLUMNS": "80", "PYTHONPYCACHEPREFIX": FOLDER.name}
SURROUNDINGS = {**os.environ, **ALIKE, "PYTHONDONTWRITEBYTECODE": "", "PYTHONWARNINGS": "ignore"}
CALLS = 20  # of archcalc in one sample: a single one is too short for the clock
Size = tuple[int, ...]
Counts = tuple[int, int]  # MACs, parameters
SIZES: dict[str, Size] = {
    "digits": (1, 28, 28), "resnet50": (3, 224, 224), "mobilenet_v2": (3, 224, 224), "vgg16": (3, 224, 224),
    "unet": (1, 572, 572), "transformer": (128, 256),
}  # fmt: skip
TRANSFORMER = """\
archcalc: 1
name: transformer
inputs: {tokens: [128, 256]}
layers:
  - repeat: {times: 4, layers: [residual: [attention], residual: [perceptron]]}
blocks:
  heads:
    args: {axes: null}
    layers: [dense: 256, reshape: [128, 4, 64], permute: axes]
  attention:
    layers:
      - layer_norm: {name: norm}
      - heads: {name: query, from: norm, axes: [0, 2, 1, 3]}
      - heads: {name: key, from: norm, axes: [0, 2, 3, 1]}
      - heads: {name: value, from: norm, axes: [0, 2, 1, 3]}
      - matmul: {name: scores, from: [query, key]}
      - softmax
      - matmul: {from: [softmax1, value]}
      - permute: [0, 2, 1, 3]
      - reshape: [128, 256]
      - dense: 256
  perceptron: {layers: [layer_norm, dense: 1024, gelu, dense: 256]}
"""


# ---- the networks, in plain PyTorch


def network(name: str, device: str) -> Any:
    """A network at inference; its tensors get no values, because counting needs none and drawing them takes time."""
    import torch
    from networks import ROWS, ResNet50, UNet

    makers = {"resnet50": ResNet50, "unet": UNet, "mobilenet_v2": mobilenet_v2, "vgg16": vgg16, "transformer": blocks}
    with torch.device("meta"):
        made = makers[name]() if name in makers else torch.nn.Sequential(*ROWS[name][0]())
    return (made if device == "meta" else made.to_empty(device=device)).eval()


def vgg16() -> Any:
    """VGG of 16 layers (Simonyan and Zisserman, 2014)."""
    from torch import nn

    layers: list[Any] = []
    channels = 3
    for filters, convs in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convs):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    layers += [nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(*layers, nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 1000))


def mobilenet_v2() -> Any:
    """Inverted residuals (Sandler et al., 2018)."""
    from torch import nn

    class Residual(nn.Sequential):
        def forward(self, x: Any) -> Any:
            return x + super().forward(x)

    def conv(channels: int, filters: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[Any]:
        made = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, groups=groups, bias=False)
        return [made, nn.BatchNorm2d(filters)]

    layers = [*conv(3, 32, 3, 2), nn.ReLU6(), *conv(32, 32, 3, groups=32), nn.ReLU6(), *conv(32, 16)]
    channels = 16
    for filters, depth, first in ((24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1)):
        for unit in range(depth):
            wide, stride = 6 * channels, 1 if unit else first
            steps = [*conv(channels, wide), nn.ReLU6(), *conv(wide, wide, 3, stride, wide), nn.ReLU6()]
            layers.append((Residual if unit else nn.Sequential)(*steps, *conv(wide, filters)))
            channels = filters
    layers += [*conv(320, 1280), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(1280, 1000))


def blocks(depth: int = 4, width: int = 256, heads: int = 4) -> Any:
    """Transformer blocks over embedded tokens, the attention written out (Vaswani et al., 2017; norms first)."""
    from torch import nn

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

        def forward(self, x: Any) -> Any:
            each = (layer(x).unflatten(-1, (heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value))
            query, key, value = each
            weights = (query @ key.transpose(2, 3)).softmax(dim=-1)
            return self.out((weights @ value).transpose(1, 2).flatten(2))

    class Residual(nn.Sequential):
        def forward(self, x: Any) -> Any:
            return x + super().forward(x)

    def perceptron() -> list[Any]:
        return [nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)]

    pairs = [
        [Residual(nn.LayerNorm(width), Attention()), Residual(nn.LayerNorm(width), *perceptron())] for _ in range(depth)
    ]
    return nn.Sequential(*(part for pair in pairs for part in pair))


# ---- the tools: MACs and parameters of a built network, as each of them reports MACs


def torch_counter(net: Any, x: Any) -> Counts:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(x)
    return int(counter.get_total_flops()) // 2, own_params(net)


def torch_symbolic(net: Any, x: Any) -> Counts:
    """The same with every size but channels and batch a symbol (internal names); its formula at this size."""
    from torch._dispatch.python import enable_python_dispatcher
    from torch._dynamo.source import ConstantSource
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    fixed = {0, 1} if x.dim() > 3 else {0, x.dim() - 1}
    sizes = [DimDynamic.STATIC if axis in fixed else DimDynamic.DYNAMIC for axis in range(x.dim())]
    context = StatelessSymbolicContext(dynamic_sizes=sizes)
    symbolic = mode.from_tensor(x, source=ConstantSource("x"), symbolic_context=context)
    with mode, enable_python_dispatcher():
        return torch_counter(net, symbolic)


def torchinfo(net: Any, x: Any) -> Counts:
    from torchinfo import summary

    found = summary(net, input_size=tuple(x.shape), verbose=0, device=x.device.type)
    return found.total_mult_adds, found.total_params


def fvcore(net: Any, x: Any) -> Counts:
    from fvcore.nn import FlopCountAnalysis, parameter_count

    found = FlopCountAnalysis(net, x).unsupported_ops_warnings(enabled=False)
    return found.uncalled_modules_warnings(enabled=False).total(), parameter_count(net)[""]


def calflops(net: Any, x: Any) -> Counts:
    for module, name in (("flops_counter_hf", "calculate_flops_hf"), ("estimate", "create_empty_model")):
        stub = types.ModuleType(f"calflops.{module}")  # asks the hub for models by name: not needed, slow to import
        setattr(stub, name, None)
        sys.modules.setdefault(stub.__name__, stub)
    from calflops import calculate_flops

    _, macs, params = calculate_flops(net, tuple(x.shape), print_results=False, output_as_string=False)
    return macs, params


def thop(net: Any, x: Any) -> Counts:
    from thop import profile

    macs, params = profile(net, inputs=(x,), verbose=False)
    return macs, params


def ptflops(net: Any, x: Any) -> Counts:
    from ptflops import get_model_complexity_info

    shape = tuple(x.shape[1:])
    return get_model_complexity_info(
        net, shape, as_strings=False, print_per_layer_stat=False, verbose=False, backend="pytorch"
    )


def own_params(net: Any) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


# ---- why a count differs: what a tool counts beside MACs, or otherwise, by row of archcalc's report

Rule = Callable[[Any, Sequence[Size]], int]  # a row and its input shapes: what this adds


def of(kinds: Sequence[str], rule: Rule) -> Rule:
    return lambda row, xs: rule(row, xs) if row.kind in kinds else 0


def cells_out(times: int) -> Rule:
    return lambda row, _: times * prod(row.output)


def cells_in(times: int) -> Rule:
    return lambda _, xs: times * prod(xs[0])


def biased(row: Any, _: Sequence[Size]) -> int:
    """One addition for each output of a layer with a bias."""
    return prod(row.output) if "bias" in row.weights else 0


def widened(row: Any, xs: Sequence[Size]) -> int:
    """What a transposed convolution has more MACs on the grid of its output than on that of its input."""
    return row.macs * prod(row.output[2:]) // prod(xs[0][2:]) - row.macs


CONVS = ("conv", "depthwise_conv", "conv_transpose")
POOLS = ("max_pool", "avg_pool", "global_avg_pool", "adaptive_avg_pool")
ADAPTIVE = ("global_avg_pool", "adaptive_avg_pool")
GRID = ("transposed convolution on the output grid", of(["conv_transpose"], widened))
PRODUCTS = ("products of two inputs left out", of(["matmul"], lambda row, _: -row.macs))
REASONS: dict[str, list[tuple[str, Rule]]] = {
    "torchinfo": [
        ("biases of convolutions", of(CONVS, biased)), GRID, PRODUCTS,
        ("parameters of norms", of(["batch_norm", "layer_norm"], lambda row, _: row.params)),
        ("a dense layer counted as its parameters", of(["dense"], lambda row, _: row.params - row.macs)),
    ],
    "fvcore": [
        ("batch norm, 2 per cell", of(["batch_norm"], cells_out(2))),
        ("layer norm, 5 per cell", of(["layer_norm"], cells_out(5))),
        ("adaptive pools", of(ADAPTIVE, cells_in(1))),
    ],
    "calflops": [PRODUCTS],
    "thop": [
        GRID, PRODUCTS, ("norms, 4 per cell", of(["batch_norm", "layer_norm"], cells_out(4))),
        ("adaptive pools", of(ADAPTIVE, lambda row, xs: prod(xs[0]) + prod(row.output))),
    ],
    "ptflops": [
        ("biases", of([*CONVS, "dense"], biased)), PRODUCTS,
        ("batch norm, 2 per cell", of(["batch_norm"], cells_out(2))),
        ("layer norm, 1 per cell", of(["layer_norm"], cells_out(1))),
        ("ReLU and GELU, twice", of(["relu", "gelu"], cells_out(2))),
        ("ReLU6", of(["relu6"], cells_out(1))),
        ("pools, twice", of(POOLS, cells_in(2))),
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Tool:
    """A counter, the packages it needs, and the device on which it is quickest."""

    count: Callable[[Any, Any], Counts]
    packages: tuple[str, ...]
    device: str = "meta"


TOOLS = {
    "torch meta": Tool(torch_counter, ("torch",)),
    "torch symbolic": Tool(torch_symbolic, ("torch",)),
    "torchinfo": Tool(torchinfo, ("torch", "torchinfo")),
    "fvcore": Tool(fvcore, ("torch", "fvcore"), "cpu"),
    "calflops": Tool(calflops, ("torch", "calflops")),
    "thop": Tool(thop, ("torch", "thop")),
    "ptflops": Tool(ptflops, ("torch", "ptflops"), "cpu"),
}


# ---- inside a process: one tool, one network


def ours(name: str) -> Callable[[], Any]:
    """A report of a loaded model, which is what archcalc counts."""
    import archcalc

    return (archcalc.loads(TRANSFORMER) if name == "transformer" else archcalc.load(f"zoo:{name}")).report


def theirs(tool: str, name: str) -> Callable[[], Counts]:
    import torch

    torch.set_num_threads(1)
    net = network(name, TOOLS[tool].device)
    return lambda: TOOLS[tool].count(net, torch.empty(1, *SIZES[name], device=TOOLS[tool].device))


def once(tool: str, name: str) -> None:
    """Count and print: the whole of a cold process."""
    macs, params = theirs(tool, name)()
    print(f"params   {int(params):,}\nMACs     {int(macs):,}")


def explained(report: Any) -> dict[str, list[tuple[str, int]]]:
    """What each tool is known to add to archcalc's MACs, by reason."""
    shapes = {**report.inputs, **{row.name: row.output for row in report.rows}}
    pairs = [(row, [shapes[source] for source in row.inputs]) for row in report.rows]
    sums = {tool: [(why, sum(rule(*pair) for pair in pairs)) for why, rule in rules] for tool, rules in REASONS.items()}
    return {tool: [(why, n) for why, n in found if n] for tool, found in sums.items()}


def serve(tool: str, name: str) -> None:
    """Count once for each line that arrives; what the tools themselves print goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    packages = TOOLS[tool].packages if tool in TOOLS else ("archcalc", "msgspec", "PyYAML")
    try:
        call = theirs(tool, name) if tool in TOOLS else ours(name)
        first: Any = call()
        counts = first if tool in TOOLS else (first.totals.macs, first.totals.params)
        about = {
            "macs": int(counts[0]), "params": int(counts[1]), "python": platform.python_version(),
            "versions": {name: metadata.version(name) for name in packages},
            "explained": {} if tool in TOOLS else explained(first),
        }  # fmt: skip
    except Exception as error:
        about = {"failed": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    print(json.dumps(about), file=out, flush=True)
    calls = 1 if tool in TOOLS else CALLS
    for _ in sys.stdin:
        start = time.process_time()
        for _ in range(calls):
            call()
        print((time.process_time() - start) / calls * 1e3, file=out, flush=True)


# ---- outside: starting them in turn


class Worker:
    """A process that counts when asked."""

    def __init__(self, python: str, tool: str, name: str) -> None:
        command = [python, str(Path(__file__).resolve()), "--serve", tool, name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, env=SURROUNDINGS, text=True, **pipes)
        said = self.process.stdout.readline()
        self.about = json.loads(said) if said else {"failed": f"ended with {self.process.wait()}"}

    def take(self) -> float:
        """Milliseconds of one count."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self) -> None:
        self.process.communicate()


def short(value: float) -> str:
    """Three digits, or all before the decimal point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


@dataclass(frozen=True)
class Samples:
    """One quantity of both sides, taken in turn."""

    ours: list[float]
    theirs: list[float]

    def cells(self) -> list[str]:
        ratios = [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True)]
        return [
            short(median(self.ours)), short(median(self.theirs)),
            f"**{short(self.ratio)}** ({short(min(ratios))}–{short(max(ratios))})",
        ]  # fmt: skip

    @property
    def ratio(self) -> float:
        return median(self.theirs) / median(self.ours)


@dataclass(frozen=True)
class Pair:
    """archcalc and one tool on one network."""

    name: str
    tool: str
    ours: dict[str, Any]
    theirs: dict[str, Any]
    warm: Samples
    cold: Samples
    memory: Samples

    @property
    def unexplained(self) -> int:
        known = sum(n for _, n in self.ours["explained"].get(self.tool, []))
        return self.theirs["macs"] - self.ours["macs"] - known

    def counts(self) -> str:
        """A line of the table of counts."""
        off = self.theirs["macs"] - self.ours["macs"]
        why = "; ".join(f"{why} {n:+,}" for why, n in self.ours["explained"].get(self.tool, [])) if off else ""
        why += f"{'; ' * bool(why)}not explained {self.unexplained:+,}" if self.unexplained else ""
        macs = "equal" if not off else f"{off:+,} ({100 * off / self.ours['macs']:+.2f} %)"
        equal = self.theirs["params"] == self.ours["params"]
        params = "equal" if equal else f"{self.theirs['params']:,} instead of {self.ours['params']:,}"
        return f"| {self.name} | {self.tool} | {self.theirs['macs']:,} | {macs} | {params} | {why or '–'} |"

    def times(self) -> str:
        cells = [self.name, self.tool, *self.warm.cells(), *self.cold.cells(), *self.memory.cells()]
        return f"| {' | '.join(cells)} |"


def process(*command: str) -> tuple[float, float, str]:
    """Seconds and peak memory (10⁶ bytes) of a program run to its end, and what it printed."""
    launcher = [sys.executable, "-I", "-S", str(HERE / "launch.py")]
    done = subprocess.run([*launcher, *command], capture_output=True, env=SURROUNDINGS, text=True, check=False)
    said, _, last = done.stderr.rstrip().rpartition("\n")
    if done.returncode or last.split()[0] != "0":
        sys.exit(f"{' '.join(command)}: failed\n{said}\n{last}")
    return float(last.split()[1]), int(last.split()[2]) * 1024 / 1e6, done.stdout


def totals(printed: str) -> list[int]:
    return [int(re.search(rf"^{what} +([\d,]+)", printed, re.M)[1].replace(",", "")) for what in ("MACs", "params")]


def cold(python: str, tool: str, name: str, rounds: int, expected: Sequence[dict[str, Any]]) -> tuple[Samples, Samples]:
    """Whole processes of both in turn, after one of each that warms up."""
    spec = f"zoo:{name}"
    if name == "transformer":
        spec = str(Path(FOLDER.name) / "transformer.yaml")
        Path(spec).write_text(TRANSFORMER, encoding="utf-8")
    commands = [
        (python, "-m", "archcalc", "report", spec),
        (python, str(Path(__file__).resolve()), "--once", tool, name),
    ]
    runs = [[process(*command) for command in commands] for _ in range(rounds + 1)]
    for side, about in enumerate(expected):
        if totals(runs[0][side][2]) != [about["macs"], about["params"]]:
            sys.exit(f"{tool}, {name}: a whole process counts otherwise than a warm one")
    columns = [[[run[side][what] for run in runs[1:]] for side in (0, 1)] for what in (0, 1)]
    return Samples(*columns[0]), Samples(*columns[1])


def measured(python: str, tool: str, name: str, rounds: int) -> Pair | str:
    """Both sides on one network; or, as text, why not."""
    workers = [Worker(python, "archcalc", name), Worker(python, tool, name)]
    try:
        for worker, who in zip(workers, ("archcalc", tool), strict=True):
            if "failed" in worker.about:
                return f"{who}, {name}: {worker.about['failed']}"
        rows = [[worker.take() for worker in workers] for _ in range(rounds + 1)][1:]
        warm = Samples(*(list(column) for column in zip(*rows, strict=True)))
    finally:
        for worker in workers:
            worker.end()
    abouts = [worker.about for worker in workers]
    return Pair(name, tool, *abouts, warm, *cold(python, tool, name, rounds, abouts))


def missing(python: str, tool: str) -> str:
    """Why a tool cannot run there; nothing if it can."""
    packages = ("archcalc",) if tool == "archcalc" else TOOLS[tool].packages
    code = f"from importlib import metadata\nfor name in {packages}: metadata.version(name)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stderr.strip().rpartition("\n")[2].replace("importlib.metadata.PackageNotFoundError: ", "")


# ---- the page


def page(pairs: Sequence[Pair], skipped: Sequence[str], rounds: int) -> Iterator[str]:
    yield f"# Rivals\n\n`python benchmarks/rivals.py --rounds {rounds}`\n"
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    versions = {
        name: version
        for pair in pairs
        for side in (pair.ours, pair.theirs)
        for name, version in side["versions"].items()
    }
    yield f"- machine: {cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, one thread used, no GPU used"
    yield f"- load: {', '.join(f'{load:.2f}' for load in os.getloadavg())} at the end (1, 5 and 15 minutes)"
    yield "- versions: " + ", ".join(
        [f"Python {pairs[0].ours['python']}", *(f"{name} {version}" for name, version in versions.items())]
    )
    yield "- in turn: archcalc, the tool, archcalc, the tool, …, after one of each that warms up"
    yield from (f"- skipped: {line}" for line in skipped)
    yield "- device: meta where a tool counts there what it counts on the CPU; calflops without what asks a hub"
    yield "\n## Ratios\n\nTheirs / ours: the median over the networks, and the smallest and largest of them.\n"
    yield "| tool | device | warm | process | peak memory | MACs equal |\n|---|---|---|---|---|---|"
    for tool in dict.fromkeys(pair.tool for pair in pairs):
        yield summary(tool, [pair for pair in pairs if pair.tool == tool])
    yield "\n## Counts\n\n| network | tool | its MACs | against ours | params | reason |\n|---|---|---|---|---|---|"
    yield from (pair.counts() for pair in pairs)
    titles = [
        "network",
        "tool",
        *(text for what in ("warm ms", "process s", "peak MB") for text in (f"{what}, ours", "theirs", "ratio")),
    ]
    yield f"\n## Times and memory\n\n| {' | '.join(titles)} |\n|{'---|' * len(titles)}"
    yield from (pair.times() for pair in pairs)


def summary(tool: str, pairs: Sequence[Pair]) -> str:
    cells = [tool, TOOLS[tool].device]
    for what in ("warm", "cold", "memory"):
        ratios = [getattr(pair, what).ratio for pair in pairs]
        cells.append(f"{short(median(ratios))} ({short(min(ratios))}–{short(max(ratios))})")
    equal = sum(pair.theirs["macs"] == pair.ours["macs"] for pair in pairs)
    return f"| {' | '.join([*cells, f'{equal} of {len(pairs)}'])} |"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--python", default=sys.executable, help="the interpreter that has archcalc and the rivals")
    options.add_argument("--rounds", type=int, default=5, help="samples of each side")
    options.add_argument("--networks", nargs="+", choices=SIZES, default=list(SIZES))
    options.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    options.add_argument("-o", metavar="FILE", help="write the page there too")
    options.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options.add_argument("--once", nargs=2, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve or given.once:
        serve(*given.serve) if given.serve else once(*given.once)
        return 0
    return compare(given)


def compare(given: argparse.Namespace) -> int:
    """Measure every pair and print the page; 1 where a count differs for no known reason, 2 where there is nothing."""
    try:
        without = {tool: missing(given.python, tool) for tool in ("archcalc", *given.tools)}
    except OSError as error:
        sys.exit(f"--python must be an interpreter; got {given.python}: {error.strerror}")
    if without.pop("archcalc"):
        sys.exit("archcalc is not installed for that interpreter: pip install -e .")
    skipped = [f"{tool}: {why}" for tool, why in without.items() if why]
    tools = [tool for tool, why in without.items() if not why]
    pairs: list[Pair] = []
    for name in given.networks:
        for tool in tools:
            found = measured(given.python, tool, name, given.rounds)
            (pairs if isinstance(found, Pair) else skipped).append(found)
            print(f"{name}, {tool}: {'measured' if isinstance(found, Pair) else found}", file=sys.stderr)
    if not pairs:
        print("\n".join(["no rival to compare with", *skipped]), file=sys.stderr)
        return 2
    text = "\n".join(page(pairs, skipped, given.rounds))
    print(text)
    if given.o:
        Path(given.o).write_text(text + "\n", encoding="utf-8")
    return int(any(pair.unexplained or pair.theirs["params"] != pair.ours["params"] for pair in pairs))


if __name__ == "__main__":
    sys.exit(main())

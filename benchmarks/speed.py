"""How fast archcalc counts, against torch's FLOP counter and against itself: runs in turn, counts compared first."""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from networks import ResNet50
from rival import macs, on_meta, params

import archcalc

HERE = Path(__file__).parent
ARCHCALC = str(Path(sys.executable).parent / "archcalc")
COMPILED = TemporaryDirectory(prefix="archcalc-benchmarks-")  # bytecode of all sides, made in the round that warms up
ALIKE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "COLUMNS": "80", "PYTHONPYCACHEPREFIX": COMPILED.name}
SURROUNDINGS = {**os.environ, **ALIKE, "PYTHONDONTWRITEBYTECODE": ""}
LAYERS = 50_000


@dataclass(frozen=True)
class Figure:
    """One comparison: samples taken in turn, and what their ratio should be."""

    name: str
    ours: list[float]
    against: list[float]
    unit: str  # s, ms or MB
    label: str  # what `against` is
    least: float | None = None  # target: against / ours at least this
    most: float | None = None  # target: ours / against at most this
    limit: float | None = None  # target: ours at most this many units

    @property
    def ratios(self) -> list[float]:
        """The ratio of each pair, the larger number on top: ours above where growth is limited."""
        pairs = zip(self.ours, self.against, strict=True)
        return [mine / other if self.most is not None else other / mine for mine, other in pairs]

    @property
    def ratio(self) -> float:
        """The ratio of the medians."""
        mine, other = median(self.ours), median(self.against)
        return mine / other if self.most is not None else other / mine

    @property
    def target(self) -> str:
        if self.least is not None:
            return f"ratio ≥ {self.least:g}"
        if self.most is not None:
            return f"ratio ≤ {self.most:g}"
        return f"ours ≤ {self.limit:g} {self.unit}" if self.limit is not None else "–"

    @property
    def met(self) -> str:
        held = [
            self.ratio >= self.least if self.least is not None else None,
            self.ratio <= self.most if self.most is not None else None,
            median(self.ours) <= self.limit if self.limit is not None else None,
        ]
        known = [answer for answer in held if answer is not None]
        return ("yes" if all(known) else "no") if known else "–"

    def line(self) -> str:
        cells = [
            self.name,
            spread(self.ours, self.unit),
            f"{self.label}: {spread(self.against, self.unit)}",
            f"{self.ratio:.2f} ({min(self.ratios):.2f}–{max(self.ratios):.2f})",
            self.target,
            self.met,
        ]
        return f"| {' | '.join(cells)} |"


def spread(samples: Sequence[float], unit: str) -> str:
    """The median, and the smallest and largest in brackets."""
    return f"{median(samples):.3g} {unit} ({min(samples):.3g}–{max(samples):.3g})"


def in_turn(rounds: int, *takes: Callable[[], Any]) -> list[list[Any]]:
    """The results of each, one of each per round, so that a busy machine slows all of them."""
    found = [[take() for take in takes] for _ in range(rounds + 1)]
    return [list(column) for column in zip(*found[1:], strict=True)]  # the first round warms up


def same(what: str, *counts: Any) -> None:
    """End the program where counts differ: no time of a wrong answer is worth printing."""
    if any(count != counts[0] for count in counts):
        sys.exit(f"{what}: the counts must be equal; got {' and '.join(map(str, counts))}")


@dataclass(frozen=True)
class Run:
    """A finished process."""

    seconds: float
    megabytes: float  # peak resident memory, in 10⁶ bytes
    printed: str


def process(*command: str) -> Run:
    """Run a program to its end; a failing one ends this one with exit code 2."""
    launcher = [sys.executable, "-I", "-S", str(HERE / "launch.py")]
    done = subprocess.run([*launcher, *command], capture_output=True, env=SURROUNDINGS, text=True, check=False)
    said, _, last = done.stderr.rstrip().rpartition("\n")
    code, seconds, kilobytes = last.split() if not done.returncode else (done.returncode, 0, 0)
    if int(code):
        print(f"{' '.join(command)}: ended with {code}\n{said}", file=sys.stderr)
        raise SystemExit(2)
    return Run(float(seconds), int(kilobytes) * 1024 / 1e6, done.stdout)


def totals(printed: str) -> list[str]:
    """Parameters and MACs of a page that has a line for each."""
    return [*re.findall(r"^params +([\d,]+)", printed, re.M), *re.findall(r"^MACs +([\d,]+)", printed, re.M)]


def processes(rounds: int) -> list[Figure]:
    """Whole processes that print the counts of ResNet-50."""
    ours, rival, bare = in_turn(
        rounds,
        lambda: process(ARCHCALC, "report", "zoo:resnet50"),
        lambda: process(sys.executable, str(HERE / "rival.py")),
        lambda: process(sys.executable, "-c", "pass"),
    )
    same("processes", totals(ours[0].printed), totals(rival[0].printed))
    seconds = [[run.seconds for run in runs] for runs in (ours, rival, bare)]
    memory = [[run.megabytes for run in runs] for runs in (ours, rival, bare)]
    return [
        Figure("b. process, ResNet-50, time", seconds[0], seconds[1], "s", "torch", least=10),
        Figure("b. process, ResNet-50, peak memory", memory[0], memory[1], "MB", "torch", limit=45),
        Figure("b. the same, against an empty process", seconds[0], seconds[2], "s", "python -c pass"),
        Figure("b. the same, peak memory", memory[0], memory[2], "MB", "python -c pass"),
    ]


def chains(rounds: int) -> list[Figure]:
    """Chains of 100,000 layers and of 50,000, built in Python and from a spec, each in its own process."""
    figures = []
    for how, build in (("python", "Model.chain"), ("spec", "loads")):
        commands = [[sys.executable, str(HERE / "chain.py"), how, str(layers)] for layers in (2 * LAYERS, LAYERS)]
        large, small = in_turn(rounds, *(lambda command=command: process(*command) for command in commands))
        found = [[json.loads(run.printed) for run in runs] for runs in (large, small)]
        for runs in found:
            same(f"chain, {how}", runs[0]["counted"], runs[0]["by hand"])
        label = f"{LAYERS:,}"
        for step in ("build", "report"):
            name = f"d. {2 * LAYERS:,} layers, {how}: {build if step == 'build' else 'report'}"
            samples = [[item[step] for item in runs] for runs in found]
            figures.append(Figure(name, *samples, "s", label, most=2.2))
        memory = [[run.megabytes for run in runs] for runs in (large, small)]
        figures.append(Figure(f"d. {2 * LAYERS:,} layers, {how}: peak memory", *memory, "MB", label, most=2.2))
    return figures


def warm(rounds: int) -> list[Figure]:
    """Reports of a loaded ResNet-50 against torch's counter on a built one, and at a large input against a small."""
    torch.set_num_threads(1)
    model, network = archcalc.load("zoo:resnet50"), on_meta(ResNet50)
    for size in ("224x224", "225x301", "16384x16384"):
        counted = model.report(size).totals
        same(f"warm, {size}", (counted.params, counted.macs), (params(network), macs(network, (3, *sides(size)))))
    ours, rival = in_turn(rounds, per_call(model.report, 20), per_call(lambda: macs(network, (3, 224, 224)), 2))
    large, small = in_turn(rounds, *(per_call(lambda at=at: model.report(at), 20) for at in ("16384x16384", "224x224")))
    return [
        Figure("a. warm report, ResNet-50 at 224×224", ours, rival, "ms", "torch", least=20),
        Figure("c. warm report, ResNet-50 at 16384×16384", large, small, "ms", "224×224", most=1.1),
    ]


def sides(size: str) -> tuple[int, ...]:
    return tuple(map(int, size.split("x")))


def per_call(call: Callable[[], Any], times: int) -> Callable[[], float]:
    """Milliseconds of one call on the one thread's clock, as the mean of several."""

    def take() -> float:
        start = time.process_time()
        for _ in range(times):
            call()
        return (time.process_time() - start) / times * 1e3

    return take


def machine() -> dict[str, str]:
    """What the numbers depend on."""
    packages = {name: metadata.version(name) for name in ("archcalc", "msgspec", "PyYAML", "torch")}
    versions = {"Python": platform.python_version(), **packages}
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return {
        "machine": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, one thread used, no GPU used",
        "system": f"{platform.system()} {platform.release()}",
        "load": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=9, help="pairs of processes; five times as many of warm reports")
    options.add_argument("--json", metavar="FILE", help="write every sample")
    given = options.parse_args()
    about = machine()
    of_processes, of_chains = processes(given.rounds), chains(given.rounds)
    figures = sorted([*warm(5 * given.rounds), *of_processes, *of_chains], key=lambda figure: figure.name[0])
    about["load"] += " before; " + machine()["load"] + " after (1, 5 and 15 minutes)"
    print("\n".join(f"- {key}: {value}" for key, value in about.items()))
    print("\n| figure | ours | against | ratio | target | met? |\n|---|---|---|---|---|---|")
    print("\n".join(figure.line() for figure in figures))
    print("\nMedians (smallest–largest); the ratio is that of the medians, its range that of pairs run in turn.")
    if given.json:
        data = {**about, "figures": [{**asdict(figure), "ratio": figure.ratio} for figure in figures]}
        Path(given.json).write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The command `archcalc`: its options, and which exit code a mistake ends with."""

import argparse
import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NoReturn

from archcalc import __version__
from archcalc.algebra.dtype import HALVES, MODEL_DTYPES
from archcalc.algebra.ops import CONVENTIONS
from archcalc.cli import asking, commands
from archcalc.errors import ArchcalcError, CannotRun, ModelError, UsageError
from archcalc.hardware.kernel import MATH_MODES
from archcalc.questions.check import BUDGETS
from archcalc.questions.optimizers import OPTIMIZERS
from archcalc.questions.quantities import QUANTITIES, USUAL
from archcalc.views.table import FORMATS

DONE, UNEXPECTED, USAGE, MODEL, CHECK_FAILED, INCOMPLETE, CANNOT_RUN, INTERRUPTED = 0, 1, 2, 3, 4, 6, 7, 130
CODES: dict[type[ArchcalcError], int] = {UsageError: USAGE, ModelError: MODEL, CannotRun: CANNOT_RUN}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    try:
        options = parser().parse_args(arguments)
        code: int = options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except ArchcalcError as error:
        _say(error)
        return next((code for cls, code in CODES.items() if isinstance(error, cls)), UNEXPECTED)
    except BrokenPipeError:  # the reader has seen enough; what is left goes nowhere
        _discard_output()
        return DONE
    except OSError as error:
        _discard_output()
        _say(f"standard output: must be writable; got {error.strerror}")
        return UNEXPECTED
    except KeyboardInterrupt:
        return INTERRUPTED


def run() -> NoReturn:
    """The entry point of the installed command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show × shows ?
    sys.exit(main())


def _say(message: object) -> None:
    with contextlib.suppress(OSError):  # whoever reads errors may have left
        print(f"archcalc: {message}", file=sys.stderr)


def _discard_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _whole(text: str) -> int:
    if not re.fullmatch("-?[0-9]{1,20}", text):
        raise argparse.ArgumentTypeError(f"must be a whole number; got {text!r}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    what = "What a neural network costs, exactly, with its working shown."
    top = argparse.ArgumentParser(prog="archcalc", description=what)
    top.add_argument("--version", action="version", version=f"archcalc {__version__}")
    add = _adder(top.add_subparsers(required=True, metavar="COMMAND"))
    asked = (_report, _explain, _formula, _sweep, _solve, _diff, _memory, _time, _fit, _check, _verify)
    for command in (*asked, _layers, _hardware, _calibrate, _zoo, _schema):
        command(add)
    return top


Adder = Callable[..., argparse.ArgumentParser]


def _report(add: Adder) -> None:
    report = add("report", commands.report, "shapes, parameters, operations and output memory of every layer", (
        "archcalc report model.yaml --input 1024x1024",
        "archcalc report zoo:resnet50 --depth 1 --json",
    ))  # fmt: skip
    _model_options(report)
    report.add_argument("--depth", type=_whole, metavar="D", help="fold blocks below this depth into one row")
    columns = "columns to show, such as name,output,macs_exact; by default those that fit the terminal"
    report.add_argument("--columns", metavar="A,B,…", help=columns)
    report.add_argument("--style", choices=["archcalc", "keras", "torchinfo"], default="archcalc", help="whose layout")
    report.add_argument("--layout", choices=["channels_first", "channels_last"], default="channels_first",
                        help="where shapes show the channels")  # fmt: skip
    report.add_argument("--strict", action="store_true", help=f"exit with {INCOMPLETE} if something was not counted")
    report.add_argument("--format", choices=FORMATS, help="what to write; default: as the file's name ends, else text")
    _written(report)


def _explain(add: Adder) -> None:
    what = "how every number is made, as a derivation; or what is wrong with a claimed one"
    explain = add("explain", asking.explain, what, (
        "archcalc explain zoo:digits --layer conv2 --input 1024x1024",
        "archcalc explain zoo:digits --claim conv2.params=3620 --claim total.macs=653k",
    ))  # fmt: skip
    _model_options(explain)
    explain.add_argument("--layer", metavar="NAME", help="of one layer or block; default: of all")
    claim = f"LAYER.QUANTITY=VALUE: is it right, and if not, which known slip gives it; exit code {CHECK_FAILED} if not"
    explain.add_argument("--claim", metavar="CLAIM", action="append", default=[], help=claim)
    explain.add_argument(
        "--format", choices=["text", "markdown", "latex", "html", "json"], help="what to write; default text"
    )
    _written(explain)


def _formula(add: Adder) -> None:
    formula = add("formula", asking.formula, "shapes and costs as closed formulas in the input size", (
        'archcalc formula zoo:resnet50 --of macs --assume "H % 32 == 0" --assume "W == H"',
        "archcalc formula zoo:exercise_i --of params --symbols a,b --format python",
    ))  # fmt: skip
    _model_options(formula)
    listed = f"{', '.join(QUANTITIES)}; default: {','.join(USUAL)}"
    formula.add_argument("--of", metavar="A,B,…", action="append", help=listed)
    formula.add_argument("--layer", metavar="NAME", help="of one layer or block; default: of the whole model")
    letters = "letters to keep: H,W (or L), C, N for the batch, hyperparameters; default: the sizes of the input"
    formula.add_argument("--symbols", metavar="A,B,…", action="append", help=letters)
    assumed = 'what holds for the letters: "H %% 32 == 0", "W == H", "H >= 64"'
    formula.add_argument("--assume", metavar="TEXT", action="append", default=[], help=assumed)
    formula.add_argument(
        "--format", choices=["text", "ascii", "latex", "python", "js", "json"], help="what to write; default text"
    )
    _written(formula)


def _sweep(add: Adder) -> None:
    sweep = add("sweep", asking.sweep, "quantities over a grid of input sizes, batches and hyperparameters", (
        "archcalc sweep zoo:digits --input 32..1024:32 --batch 1,8,64 --of macs,output_bytes --format csv",
        "archcalc sweep zoo:exercise_i --set a=3,6,12 --set b=8..32:8 --of params",
    ))  # fmt: skip
    sweep.add_argument("model", metavar="MODEL", help="a YAML file, - for standard input, or zoo:NAME")
    sizes = "64, or 32,64, or 32..1024:32 for square inputs; an axis each: 32..64x48; name=… for several inputs"
    sweep.add_argument("--input", metavar="SIZES", action="append", help=sizes)
    sweep.add_argument("--batch", metavar="N,…", action="append", help="images at once, such as 1,8,64 (default 1)")
    sweep.add_argument("--set", metavar="NAME=VALUES", action="append", default=[], help="values of a hyperparameter")
    sweep.add_argument("--of", metavar="A,B,…", action="append", help="what to count; default params,macs,output_bytes")
    sweep.add_argument("--dtype", choices=MODEL_DTYPES, default="float32", help="what the network computes in")
    sweep.add_argument("--convention", choices=list(CONVENTIONS), default="archcalc", help="what counts as a FLOP")
    sweep.add_argument("--sample", type=_whole, metavar="K", help="take so many points of the grid at random")
    sweep.add_argument("--seed", type=_whole, default=0, metavar="S", help="of the sample (default 0)")
    styles = ["text", "csv", "json", "markdown", "latex", "html"]
    sweep.add_argument("--format", choices=styles, help="what to write; default: as the file's name ends, else text")
    sweep.add_argument("--plot", metavar="FILE", help="draw it, both axes logarithmic, into an .svg or .png file")
    _written(sweep)


def _solve(add: Adder) -> None:
    solve = add("solve", asking.solve, "the largest input, batch or hyperparameter within limits, with proof", (
        'archcalc solve zoo:resnet50 --max input --subject-to "macs <= 100G, output_bytes <= 2GiB" --multiple 32',
        'archcalc solve zoo:exercise_i --max b --subject-to "params <= 100k"',
    ))  # fmt: skip
    _model_options(solve)
    solve.add_argument("--max", required=True, metavar="WHAT", help="input, batch, or a hyperparameter of the spec")
    limits = f"limits joined by commas, on {', '.join(BUDGETS)} or another total"
    solve.add_argument("--subject-to", required=True, metavar="LIMITS", action="append", help=limits)
    solve.add_argument("--aspect", default="1:1", metavar="W:H", help="of an input, width to height (default 1:1)")
    solve.add_argument("--multiple", type=_whole, default=1, metavar="K", help="of which every size is one (default 1)")
    solve.add_argument("--json", action="store_true", help="write the solution as JSON")
    solve.add_argument("-o", "--output", metavar="FILE", help="write to a file instead of standard output")


def _diff(add: Adder) -> None:
    diff = add("diff", asking.diff, "what differs between two models, or one at two sizes or settings", (
        "archcalc diff zoo:resnet18 zoo:resnet50 --depth 1",
        "archcalc diff zoo:exercise_i --set-b a=6 --set-b b=16 --input-b 64x64",
    ))  # fmt: skip
    _model_options(diff)
    diff.add_argument("b", metavar="B", nargs="?", help="the other model; default: the same one")
    diff.add_argument("--input-b", metavar="SIZE", action="append", help="input size of the second, if another")
    diff.add_argument("--batch-b", type=_whole, metavar="N", help="batch of the second")
    diff.add_argument("--dtype-b", choices=MODEL_DTYPES, metavar="DTYPE", help="dtype of the second")
    diff.add_argument(
        "--set-b", metavar="NAME=VALUE", action="append", default=[], help="hyperparameters of the second"
    )
    diff.add_argument("--depth", type=_whole, metavar="D", help="fold blocks below this depth into one row")
    diff.add_argument("--format", choices=["text", "markdown", "json"], help="what to write; default text")
    _written(diff)


def _memory(add: Adder) -> None:
    what = "the memory of inference and training, moment by moment, and when it is most"
    memory = add("memory", _later("costs", "memory"), what, (
        "archcalc memory zoo:resnet50 --training --batch 32 --amp bfloat16 --checkpoint every=1,depth=2",
        "archcalc memory zoo:exercise_m --batch 50 --training --classroom",
    ))  # fmt: skip
    _model_options(memory)
    _memory_options(memory)
    memory.add_argument("--classroom", action="store_true", help="also the figures that are worked out by hand")
    memory.add_argument("--formula", action="store_true", help="also every quantity as a closed form")
    memory.add_argument("--plot", metavar="FILE", help="draw the timeline into an .svg or .png file")
    memory.add_argument("--format", choices=["text", "csv", "json"], help="what to write; default text")
    _written(memory)


def _time(add: Adder) -> None:
    what = "how long it takes on a device: at least, as expected, and why practice is slower"
    time = add("time", _later("costs", "time"), what, (
        "archcalc time zoo:digits --input 1024x1024 --device 1TFLOPS",
        "archcalc time zoo:resnet50 --batch 32 --device nvidia-h200 --dtype bfloat16 --training",
    ))  # fmt: skip
    _model_options(time)
    _device_options(time)
    time.add_argument("--training", action="store_true", help="forward and backward, not only forward")
    time.add_argument("--energy", action="store_true", help="also the energy, as a range of published figures")
    time.add_argument("--plot", metavar="FILE", help="draw the roofline into an .svg or .png file")
    time.add_argument("--format", choices=["text", "csv", "json"], help="what to write; default text")
    _written(time)


def _fit(add: Adder) -> None:
    what = "does it fit into memory; the largest batch and input that do, and ways out if it does not"
    fit = add("fit", _later("costs", "fit"), what, (
        "archcalc fit zoo:resnet50 --memory 8GiB --training --batch 64",
        "archcalc fit zoo:unet --device nvidia-t4 --batch 64",
    ))  # fmt: skip
    _model_options(fit)
    fit.add_argument("--memory", metavar="BYTES", help="how much there is, such as 24GiB; default: the device's")
    fit.add_argument("--device", metavar="NAME", help="whose memory and times to take: an id of archcalc hardware")
    fit.add_argument("--devices", metavar="FILE", help="a YAML file with devices of your own")
    fit.add_argument("--multiple", type=_whole, default=1, metavar="K", help="of every size of the largest input")
    _memory_options(fit)
    fit.add_argument("--json", action="store_true", help="write the answer as JSON")
    fit.add_argument("-o", "--output", metavar="FILE", help="write to a file instead of standard output")


def _device_options(command: argparse.ArgumentParser, *, needed: bool = True) -> None:
    which = "an id of archcalc hardware, a rate such as 1TFLOPS, or local"
    command.add_argument("--device", required=needed, metavar="NAME", help=which)
    command.add_argument("--devices", metavar="FILE", help="a YAML file with devices of your own")
    mode = "how float32 is multiplied: torch (its defaults: convolutions in TF32), ieee, or tf32"
    command.add_argument("--math-mode", choices=MATH_MODES, default="torch", help=mode)
    fitted = "what archcalc calibrate wrote for this device, instead of default numbers; may be given for each rate"
    command.add_argument("--calibration", metavar="FILE", action="append", default=[], help=fitted)


def _memory_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--training", action="store_true", help="a step of training, not only inference")
    command.add_argument("--optimizer", choices=list(OPTIMIZERS), help="whose state is stored (default adam)")
    command.add_argument("--amp", choices=HALVES, help="mixed precision: compute in this, keep weights in float32")
    segment = "compute segments of K layers or blocks twice: every=K, or every=K,depth=D for blocks inside blocks"
    command.add_argument("--checkpoint", metavar="every=K", help=segment)
    command.add_argument("--in-place", action="store_true", help="activations overwrite their input where right")
    held = "until when a value stays: its last reader, or the end of every block that reads it (default reads)"
    command.add_argument("--hold", choices=["reads", "blocks"], help=held)
    command.add_argument("--keep-gradients", action="store_true", help="gradients stay from step to step")
    command.add_argument("--master-weights", action="store_true", help="a float32 copy of half-precision weights")


def _check(add: Adder) -> None:
    check = add("check", commands.check, "compare a model with its `expect:` block and with budgets", (
        "archcalc check model.yaml",
        "archcalc check zoo:mobilenet_v2 --max-params 5M --max-macs 1G --input 320x320",
    ))  # fmt: skip
    _model_options(check)
    for budget in BUDGETS:
        unit = "BYTES" if budget.endswith("_bytes") else "N"
        check.add_argument(f"--max-{budget.replace('_', '-')}", metavar=unit, help=f"largest allowed {budget}")


def _verify(add: Adder) -> None:
    what = "build the real network in PyTorch and lay every formula beside what is measured"
    verify = add("verify", commands.verify, what, (
        "archcalc verify zoo:resnet50 --input 64x64 --samples 1", "archcalc verify --kinds --cases 100",
    ))  # fmt: skip
    _spec_options(verify, needed=False)
    where = "where it runs; meta (the default) computes shapes without numbers, and allocates nothing"
    verify.add_argument("--device", choices=["meta", "cpu", "cuda"], default="meta", help=where)
    more = "random other input sizes that are looked at too (default 0)"
    verify.add_argument("--samples", type=_whole, default=0, metavar="K", help=more)
    kinds = "instead of a model, random configurations of every kind of layer"
    verify.add_argument("--kinds", action="store_true", help=kinds)
    verify.add_argument("--cases", type=_whole, metavar="N", help="how many configurations (default 1000)")
    verify.add_argument("--seed", type=_whole, default=0, metavar="S", help="of weights, inputs, sizes, configurations")
    strict = f"exit with {INCOMPLETE} if something could not be checked"
    verify.add_argument("--strict", action="store_true", help=strict)
    verify.add_argument("--json", action="store_true", help="write the checks as JSON")
    verify.add_argument("-o", "--output", metavar="FILE", help="write to a file instead of standard output")


def _layers(add: Adder) -> None:
    layers = add("layers", commands.layers, "the kinds of layers; of one, its fields, formulas and an example", (
        "archcalc layers", "archcalc layers conv",
    ))  # fmt: skip
    layers.add_argument("kind", nargs="?", metavar="KIND")


def _hardware(add: Adder) -> None:
    what = "the devices that times are computed for; of one, its rates, checks, notes and sources"
    listed = add(
        "hardware", _later("hardware", "hardware"), what, ("archcalc hardware", "archcalc hardware nvidia-h200 --json")
    )
    names = "an id (nvidia- may be left out), a driver's name, a plain rate such as 1TFLOPS, or local"
    listed.add_argument("name", nargs="?", metavar="NAME", help=names)
    listed.add_argument("--devices", metavar="FILE", help="a YAML file with devices of your own")
    listed.add_argument("--json", action="store_true", help="write exact figures as JSON")


def _calibrate(add: Adder) -> None:
    what = "fit a device's ten numbers to timings of some 32 kernels, taken here or from a file"
    calibrate = add("calibrate", _later("calibrating", "calibrate"), what, (
        "archcalc calibrate --from timings.csv --device nvidia-v100-pcie -o v100.json",
        "archcalc calibrate --from timings.csv --device nvidia-h100-sxm --json",
    ))  # fmt: skip
    which = "cuda, the one of this machine (default); or, with --from, an id of archcalc hardware"
    calibrate.add_argument("--device", default="cuda", metavar="NAME", help=which)
    calibrate.add_argument("--devices", metavar="FILE", help="a YAML file with devices of your own")
    calibrate.add_argument("--from", dest="source", metavar="FILE", help="timings as CSV, also packed as .gz")
    formats = "float32, tf32, float16 or bfloat16, may be given several times; default: those that there are"
    calibrate.add_argument("--dtype", metavar="NAME", action="append", help=formats)
    calibrate.add_argument("--timings", metavar="FILE", help="also write the timings that are taken, as CSV")
    calibrate.add_argument("--json", action="store_true", help="write the calibrations as JSON")
    where = "file for the calibration, or folder for several: what archcalc time --calibration takes"
    calibrate.add_argument("-o", "--output", metavar="FILE", help=where)


def _zoo(add: Adder) -> None:
    examples = ("archcalc zoo", "archcalc zoo resnet50")
    zoo = add("zoo", commands.zoo, "the models that come along; of one, its spec", examples)
    zoo.add_argument("name", nargs="?", metavar="NAME")


def _schema(add: Adder) -> None:
    examples = ("archcalc schema > archcalc.schema.json", "archcalc schema | jq '.properties | keys'")
    add("schema", commands.schema, "the JSON Schema of the spec language, for editors", examples)


def _later(room: str, name: str) -> Callable[[Any], int]:
    """A command whose rooms are loaded when it runs: the others start without them."""

    def run(options: Any) -> int:
        command: Callable[[Any], int] = getattr(import_module(f"archcalc.cli.{room}"), name)
        return command(options)

    return run


def _adder(subparsers: Any) -> Adder:
    def add(name: str, command: Callable[[Any], int], what: str, examples: Sequence[str]) -> argparse.ArgumentParser:
        epilog = "examples:\n" + "\n".join(f"  {example}" for example in examples)
        layout = argparse.RawDescriptionHelpFormatter
        made: argparse.ArgumentParser = subparsers.add_parser(
            name, help=what, description=what[0].upper() + what[1:] + ".", epilog=epilog, formatter_class=layout
        )
        made.set_defaults(run=command)
        return made

    return add


def _spec_options(command: argparse.ArgumentParser, *, needed: bool = True) -> None:
    where = "a YAML file, - for standard input, or zoo:NAME"
    command.add_argument("model", metavar="MODEL", nargs=None if needed else "?", help=where)
    size = "1024x1024, or 3x1024x1024, or name=SIZE for several inputs; default: the spec's"
    command.add_argument("--input", metavar="SIZE", action="append", help=size)
    command.add_argument("--batch", type=_whole, default=1, metavar="N", help="images at once (default 1)")
    command.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="replace a hyperparameter")


def _written(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_const", const="json", dest="format", help="short for --format json")
    command.add_argument("-o", "--output", metavar="FILE", help="write to a file instead of standard output")


def _model_options(command: argparse.ArgumentParser) -> None:
    _spec_options(command)
    command.add_argument("--dtype", choices=MODEL_DTYPES, default="float32", help="what the network computes in")
    command.add_argument("--convention", choices=list(CONVENTIONS), default="archcalc", help="what counts as a FLOP")

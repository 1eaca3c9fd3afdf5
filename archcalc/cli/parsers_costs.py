"""The options of the commands about memory, time and devices."""

import argparse

from archcalc.algebra.dtype import HALVES
from archcalc.cli.parsing import Adder, dtype_options, later, whole, written
from archcalc.hardware.kernel import MATH_MODES
from archcalc.questions.optimizers import OPTIMIZERS


def memory(add: Adder) -> None:
    """Options of `archcalc memory`."""
    what = "the memory of inference and training, moment by moment, and when it is most"
    memory = add("memory", later("costs", "memory"), what, (
        "archcalc memory zoo:resnet50 --training --batch 32 --amp bfloat16 --checkpoint every=1,depth=2",
        "archcalc memory zoo:exercise_m --batch 50 --training --classroom",
    ))  # fmt: skip
    dtype_options(memory)
    memory_options(memory)
    memory.add_argument("--classroom", action="store_true", help="also the figures that are worked out by hand")
    memory.add_argument("--formula", action="store_true", help="also every quantity as a closed form")
    memory.add_argument("--plot", metavar="FILE", help="draw the timeline into an .svg or .png file")
    memory.add_argument("--format", choices=["text", "csv", "json"], help="what to write; default text")
    written(memory)


def memory_options(command: argparse.ArgumentParser) -> None:
    """What memory depends on beside the input."""
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


def time(add: Adder) -> None:
    """Options of `archcalc time`."""
    what = "how long it takes on a device: at least, as expected, and why practice is slower"
    time = add("time", later("costs", "time"), what, (
        "archcalc time zoo:digits --input 1024x1024 --device 1TFLOPS",
        "archcalc time zoo:resnet50 --batch 32 --device nvidia-h200 --dtype bfloat16 --training",
    ))  # fmt: skip
    dtype_options(time)
    device_options(time)
    time.add_argument("--training", action="store_true", help="forward and backward, not only forward")
    time.add_argument("--energy", action="store_true", help="also the energy, as a range of published figures")
    time.add_argument("--plot", metavar="FILE", help="draw the roofline into an .svg or .png file")
    time.add_argument("--format", choices=["text", "csv", "json"], help="what to write; default text")
    written(time)


def device_options(command: argparse.ArgumentParser, *, needed: bool = True) -> None:
    """Which device, and how it multiplies."""
    which = "an id of archcalc hardware, a rate such as 1TFLOPS, or local"
    command.add_argument("--device", required=needed, metavar="NAME", help=which)
    command.add_argument("--devices", metavar="FILE", help="a YAML file with devices of your own")
    mode = "how float32 is multiplied: torch (its defaults: convolutions in TF32), ieee, or tf32"
    command.add_argument("--math-mode", choices=MATH_MODES, default="torch", help=mode)
    fitted = "what archcalc calibrate wrote for this device, instead of default numbers; may be given for each rate"
    command.add_argument("--calibration", metavar="FILE", action="append", default=[], help=fitted)


def fit(add: Adder) -> None:
    """Options of `archcalc fit`."""
    what = "does it fit into memory; the largest batch and input that do, and ways out if it does not"
    fit = add("fit", later("costs", "fit"), what, (
        "archcalc fit zoo:resnet50 --memory 8GiB --training --batch 64",
        "archcalc fit zoo:unet --device nvidia-t4 --batch 64",
    ))  # fmt: skip
    dtype_options(fit)
    fit.add_argument("--memory", metavar="BYTES", help="how much there is, such as 24GiB; default: the device's")
    fit.add_argument("--device", metavar="NAME", help="whose memory and times to take: an id of archcalc hardware")
    fit.add_argument("--devices", metavar="FILE", help="a YAML file with devices of your own")
    fit.add_argument("--multiple", type=whole, default=1, metavar="K", help="of every size of the largest input")
    memory_options(fit)
    fit.add_argument("--json", action="store_true", help="write the answer as JSON")
    fit.add_argument("-o", "--output", metavar="FILE", help="write to a file instead of standard output")


def hardware(add: Adder) -> None:
    """Options of `archcalc hardware`."""
    what = "the devices that times are computed for; of one, its rates, checks, notes and sources"
    listed = add(
        "hardware", later("hardware", "hardware"), what, ("archcalc hardware", "archcalc hardware nvidia-h200 --json")
    )
    names = "an id (nvidia- may be left out), a driver's name, a plain rate such as 1TFLOPS, or local"
    listed.add_argument("name", nargs="?", metavar="NAME", help=names)
    listed.add_argument("--devices", metavar="FILE", help="a YAML file with devices of your own")
    listed.add_argument("--json", action="store_true", help="write exact figures as JSON")


def calibrate(add: Adder) -> None:
    """Options of `archcalc calibrate`."""
    what = "fit a device's ten numbers to timings of some 32 kernels, taken here or from a file"
    calibrate = add("calibrate", later("calibrating", "calibrate"), what, (
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


ASKED = (memory, time, fit, hardware, calibrate)

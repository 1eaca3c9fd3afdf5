"""The options of the commands that report, ask and check."""

from archcalc.algebra.dtype import MODEL_DTYPES
from archcalc.algebra.ops import CONVENTIONS
from archcalc.cli import asking, commands
from archcalc.cli.parsing import CHECK_FAILED, INCOMPLETE, Adder, model_options, spec_options, whole, written
from archcalc.questions.check import BUDGETS
from archcalc.questions.quantities import QUANTITIES, USUAL
from archcalc.views.table import FORMATS


def report(add: Adder) -> None:
    """Options of `archcalc report`."""
    report = add("report", commands.report, "shapes, parameters, operations and output memory of every layer", (
        "archcalc report model.yaml --input 1024x1024",
        "archcalc report zoo:resnet50 --depth 1 --json",
    ))  # fmt: skip
    model_options(report)
    report.add_argument("--depth", type=whole, metavar="D", help="fold blocks below this depth into one row")
    columns = "columns to show, such as name,output,macs_exact; by default those that fit the terminal"
    report.add_argument("--columns", metavar="A,B,…", help=columns)
    report.add_argument("--style", choices=["archcalc", "keras", "torchinfo"], default="archcalc", help="whose layout")
    report.add_argument("--layout", choices=["channels_first", "channels_last"], default="channels_first",
                        help="where shapes show the channels")  # fmt: skip
    report.add_argument("--strict", action="store_true", help=f"exit with {INCOMPLETE} if something was not counted")
    report.add_argument("--format", choices=FORMATS, help="what to write; default: as the file's name ends, else text")
    written(report)


def explain(add: Adder) -> None:
    """Options of `archcalc explain`."""
    what = "how every number is made, as a derivation; or what is wrong with a claimed one"
    explain = add("explain", asking.explain, what, (
        "archcalc explain zoo:digits --layer conv2 --input 1024x1024",
        "archcalc explain zoo:digits --claim conv2.params=3620 --claim total.macs=653k",
    ))  # fmt: skip
    model_options(explain)
    explain.add_argument("--layer", metavar="NAME", help="of one layer or block; default: of all")
    claim = f"LAYER.QUANTITY=VALUE: is it right, and if not, which known slip gives it; exit code {CHECK_FAILED} if not"
    explain.add_argument("--claim", metavar="CLAIM", action="append", default=[], help=claim)
    explain.add_argument(
        "--format", choices=["text", "markdown", "latex", "html", "json"], help="what to write; default text"
    )
    written(explain)


def formula(add: Adder) -> None:
    """Options of `archcalc formula`."""
    formula = add("formula", asking.formula, "shapes and costs as closed formulas in the input size", (
        'archcalc formula zoo:resnet50 --of macs --assume "H % 32 == 0" --assume "W == H"',
        "archcalc formula zoo:exercise_i --of params --symbols a,b --format python",
    ))  # fmt: skip
    model_options(formula)
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
    written(formula)


def sweep(add: Adder) -> None:
    """Options of `archcalc sweep`."""
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
    sweep.add_argument("--sample", type=whole, metavar="K", help="take so many points of the grid at random")
    sweep.add_argument("--seed", type=whole, default=0, metavar="S", help="of the sample (default 0)")
    styles = ["text", "csv", "json", "markdown", "latex", "html"]
    sweep.add_argument("--format", choices=styles, help="what to write; default: as the file's name ends, else text")
    sweep.add_argument("--plot", metavar="FILE", help="draw it, both axes logarithmic, into an .svg or .png file")
    written(sweep)


def solve(add: Adder) -> None:
    """Options of `archcalc solve`."""
    solve = add("solve", asking.solve, "the largest input, batch or hyperparameter within limits, with proof", (
        'archcalc solve zoo:resnet50 --max input --subject-to "macs <= 100G, output_bytes <= 2GiB" --multiple 32',
        'archcalc solve zoo:exercise_i --max b --subject-to "params <= 100k"',
    ))  # fmt: skip
    model_options(solve)
    solve.add_argument("--max", required=True, metavar="WHAT", help="input, batch, or a hyperparameter of the spec")
    limits = f"limits joined by commas, on {', '.join(BUDGETS)} or another total"
    solve.add_argument("--subject-to", required=True, metavar="LIMITS", action="append", help=limits)
    solve.add_argument("--aspect", default="1:1", metavar="W:H", help="of an input, width to height (default 1:1)")
    solve.add_argument("--multiple", type=whole, default=1, metavar="K", help="of which every size is one (default 1)")
    solve.add_argument("--json", action="store_true", help="write the solution as JSON")
    solve.add_argument("-o", "--output", metavar="FILE", help="write to a file instead of standard output")


def diff(add: Adder) -> None:
    """Options of `archcalc diff`."""
    diff = add("diff", asking.diff, "what differs between two models, or one at two sizes or settings", (
        "archcalc diff zoo:resnet18 zoo:resnet50 --depth 1",
        "archcalc diff zoo:exercise_i --set-b a=6 --set-b b=16 --input-b 64x64",
    ))  # fmt: skip
    model_options(diff)
    diff.add_argument("b", metavar="B", nargs="?", help="the other model; default: the same one")
    diff.add_argument("--input-b", metavar="SIZE", action="append", help="input size of the second, if another")
    diff.add_argument("--batch-b", type=whole, metavar="N", help="batch of the second")
    diff.add_argument("--dtype-b", choices=MODEL_DTYPES, metavar="DTYPE", help="dtype of the second")
    diff.add_argument(
        "--set-b", metavar="NAME=VALUE", action="append", default=[], help="hyperparameters of the second"
    )
    diff.add_argument("--depth", type=whole, metavar="D", help="fold blocks below this depth into one row")
    diff.add_argument("--format", choices=["text", "markdown", "json"], help="what to write; default text")
    written(diff)


def check(add: Adder) -> None:
    """Options of `archcalc check`."""
    check = add("check", commands.check, "compare a model with its `expect:` block and with budgets", (
        "archcalc check model.yaml",
        "archcalc check zoo:mobilenet_v2 --max-params 5M --max-macs 1G --input 320x320",
    ))  # fmt: skip
    model_options(check)
    for budget in BUDGETS:
        unit = "BYTES" if budget.endswith("_bytes") else "N"
        check.add_argument(f"--max-{budget.replace('_', '-')}", metavar=unit, help=f"largest allowed {budget}")


def verify(add: Adder) -> None:
    """Options of `archcalc verify`."""
    what = "build the real network in PyTorch and lay every formula beside what is measured"
    verify = add("verify", commands.verify, what, (
        "archcalc verify zoo:resnet50 --input 64x64 --samples 1", "archcalc verify --kinds --cases 100",
    ))  # fmt: skip
    spec_options(verify, needed=False)
    where = "where it runs; meta (the default) computes shapes without numbers, and allocates nothing"
    verify.add_argument("--device", choices=["meta", "cpu", "cuda"], default="meta", help=where)
    more = "random other input sizes that are looked at too (default 0)"
    verify.add_argument("--samples", type=whole, default=0, metavar="K", help=more)
    kinds = "instead of a model, random configurations of every kind of layer"
    verify.add_argument("--kinds", action="store_true", help=kinds)
    verify.add_argument("--cases", type=whole, metavar="N", help="how many configurations (default 1000)")
    verify.add_argument("--seed", type=whole, default=0, metavar="S", help="of weights, inputs, sizes, configurations")
    strict = f"exit with {INCOMPLETE} if something could not be checked"
    verify.add_argument("--strict", action="store_true", help=strict)
    verify.add_argument("--json", action="store_true", help="write the checks as JSON")
    verify.add_argument("-o", "--output", metavar="FILE", help="write to a file instead of standard output")


def layers(add: Adder) -> None:
    """Options of `archcalc layers`."""
    layers = add("layers", commands.layers, "the kinds of layers; of one, its fields, formulas and an example", (
        "archcalc layers", "archcalc layers conv",
    ))  # fmt: skip
    layers.add_argument("kind", nargs="?", metavar="KIND")


def zoo(add: Adder) -> None:
    """Options of `archcalc zoo`."""
    examples = ("archcalc zoo", "archcalc zoo resnet50")
    zoo = add("zoo", commands.zoo, "the models that come along; of one, its spec", examples)
    zoo.add_argument("name", nargs="?", metavar="NAME")


def schema(add: Adder) -> None:
    """Options of `archcalc schema`."""
    examples = ("archcalc schema > archcalc.schema.json", "archcalc schema | jq '.properties | keys'")
    add("schema", commands.schema, "the JSON Schema of the spec language, for editors", examples)


ASKED = (report, explain, formula, sweep, solve, diff, check, verify)
LISTED = (layers, zoo, schema)

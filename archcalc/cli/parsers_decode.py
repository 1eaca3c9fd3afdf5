"""The options of the command about decoding."""

from archcalc.algebra.dtype import MODEL_DTYPES
from archcalc.cli.parsing import Adder, later, whole, written


def decode(add: Adder) -> None:
    """Options of `archcalc decode`."""
    what = "one more token of a language model: its MACs, what it reads, and the cache of keys and values"
    decode = add("decode", later("decoding", "decode"), what, (
        "archcalc decode zoo:gpt2 --position 1023",
        "archcalc decode zoo:llama3_8b --position 8191 --batch 16 --dtype bfloat16 --cache-dtype int8 --json",
    ))  # fmt: skip
    decode.add_argument("model", metavar="MODEL", help="a YAML file, - for standard input, or zoo:NAME")
    place = "of the token, counted from 0: so many stand before it"
    decode.add_argument("--position", type=whole, required=True, metavar="P", help=place)
    decode.add_argument("--batch", type=whole, default=1, metavar="N", help="sequences at once (default 1)")
    decode.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="replace a hyperparameter")
    decode.add_argument("--dtype", choices=MODEL_DTYPES, default="float32", help="of weights and values")
    decode.add_argument(
        "--cache-dtype", choices=MODEL_DTYPES, help="of keys and values that are kept; default: as --dtype"
    )
    decode.add_argument("--format", choices=["text", "json"], help="what to write; default text")
    written(decode)


ASKED = (decode,)

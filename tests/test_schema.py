"""The JSON Schema accepts what the reader accepts, and refuses what it refuses."""

import jsonschema
import pytest

from archcalc.dialects.schema import schema
from archcalc.dialects.yaml import ZOO, zoo_names
from archcalc.dialects.yaml_text import read
from archcalc.layers import KINDS
from tests.asking import spec_of
from tests.cases import CASES

VALIDATOR = jsonschema.Draft202012Validator(schema())


def test_it_is_a_schema_and_knows_every_kind():
    jsonschema.Draft202012Validator.check_schema(schema())
    assert set(KINDS) <= set(schema()["$defs"])


@pytest.mark.parametrize("name", zoo_names())
def test_the_zoo_is_valid(name):
    with open(f"{ZOO}/{name}.yaml", encoding="utf-8") as file:
        VALIDATOR.validate(read(file.read(), name, []).plain)


def test_every_case_is_valid():
    for case in CASES:
        VALIDATOR.validate(read(spec_of(case.line, case.inputs), case.line, []).plain)


@pytest.mark.parametrize("name", KINDS)
def test_every_example_is_valid(name):
    line = read(f"- {KINDS[name].example}\n", name, []).plain[0]
    VALIDATOR.validate({"archcalc": 1, "inputs": {"a": [1], "b": [1]}, "layers": [line]})


@pytest.mark.parametrize(
    "layer",
    [
        "conv", {"conv": 3}, {"conv": {"filters": 3}}, {"conv": {"filters": 0, "kernel": 3}}, {"relu": 3},
        {"conv": {"filters": 3, "kernel": 3, "filer": 3}}, {"conv": {"filters": [3], "kernel": 3}},
        {"repeat": {"times": 3}}, {"residual": {"body": []}}, {"relu": {}, "tanh": {}}, 17, {"max_pool": {"kernel": 2.5}},
    ],
    ids=str,
)  # fmt: skip
def test_mistakes_are_refused(layer):
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate({"archcalc": 1, "inputs": {"a": [1]}, "layers": [layer]})


def test_an_editor_finds_what_a_field_means():
    conv = schema()["$defs"]["conv"]["properties"]["conv"]["anyOf"][0]["properties"]
    assert conv["filters"]["description"] == "output channels"
    assert conv["stride"]["default"] == 1

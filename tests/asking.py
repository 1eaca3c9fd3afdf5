"""Asking one layer through a model, as a user would: from a line of a spec to the totals of its report."""

from archcalc import Model, loads

NAMES = "abcdef"
UNREAD = "  unread: [1]\n"  # a spec has an input, whoever reads it


def spec_of(line, inputs):
    """A spec whose only layer is this line."""
    shapes = "".join(f"  {name}: {list(shape[1:])}\n" for name, shape in zip(NAMES, inputs, strict=False))
    head, _, argument = line.partition(": ")
    reads = f"[{', '.join(NAMES[: len(inputs)])}]"
    argument = argument.strip()
    if argument.startswith("{"):
        fields = argument[1:-1]
    else:
        from archcalc.layers import KINDS

        fields = f"{KINDS[head].main}: {argument}" if argument else ""
    fields = ", ".join(part for part in (fields, f"from: {reads}" if inputs else "") if part)
    return f"archcalc: 1\nname: case\ninputs:\n{shapes or UNREAD}layers:\n  - {head}: {{{fields}}}\n"


def model_of(case) -> Model:
    return loads(spec_of(case.line, case.inputs))


def report_of(case):
    return model_of(case).report(batch=case.batch)


def layer_of(line):
    """The layer that a line describes."""
    from archcalc.dialects.kinds import example_layer
    from archcalc.layers import KINDS

    kind = KINDS[line.partition(":")[0]]
    return example_layer(type(kind)(kind.name, kind.cls, kind.main, kind.fixed, line, (), ""))

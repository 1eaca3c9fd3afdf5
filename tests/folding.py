"""Graphs without a text, as an import makes them: random ones with levels, repeats, branches and shared layers."""

import random

from archcalc import Model, layers
from archcalc.layers.unknown import Unknown
from archcalc.model.graph import Input, Node

LEVELS = (
    "layer1",
    "layer2",
    "0",
    "1",
    "2",
    "block",
    "shortcut",
    "concat1",
    "branch1",
    "branch2",
    "a.b",
    "add1",
    "input",
)
CHANNELS = (4, 8)


class Draw:
    """One random graph being drawn: nodes of a few kinds that keep the size of the map."""

    def __init__(self, seed):
        self.rng = random.Random(seed)  # noqa: S311 - graphs, no secrets
        self.inputs = {"image": Input((4, 8, 8)), "other": Input((8, 8, 8))}
        self.channels = {"image": 4, "other": 8}
        self.nodes = []
        self.counts = {}

    def fresh(self, path, kind):
        """A name as importers make them: by kind and number, by a module's name, with a suffix if it is taken."""
        rng, key = self.rng, (*path, kind)
        self.counts[key] = self.counts.get(key, 0) + 1
        own = rng.choice([f"{kind}{self.counts[key]}", f"{kind}{self.counts[key]}", kind, str(rng.randint(0, 9)), "x"])
        name, number = "/".join([*path, own]), 1
        taken = {node.name for node in self.nodes} | set(self.inputs)
        while name in taken:
            number += 1
            name = "/".join([*path, f"{own}_{number}"])
        return name

    def put(self, path, layer, sources, channels, **more):
        name = self.fresh(path, layer.kind.lower())
        self.nodes.append(Node(name, layer, tuple(sources), **more))
        self.channels[name] = channels
        return name

    def one(self, path, above):  # noqa: PLR0911 - a case for each kind
        """One node, mostly reading the one before."""
        rng = self.rng
        source = above if rng.random() < 0.85 else rng.choice(list(self.channels))
        channels = self.channels[source]
        match rng.choice(
            ["conv", "conv", "relu", "batch_norm", "dropout", "add", "concat", "separable", "shared", "unknown"]
        ):
            case "conv":
                filters = rng.choice(CHANNELS)
                layer = layers.Conv(filters=filters, kernel=rng.choice([1, 3]), padding="same", bias=rng.random() < 0.5)
                return self.put(path, layer, [source], filters, trainable=rng.random() < 0.9)
            case "relu":
                return self.put(path, layers.Activation("relu"), [source], channels)
            case "batch_norm":
                return self.put(path, layers.BatchNorm(), [source], channels)
            case "dropout":
                return self.put(path, layers.Dropout("dropout", rate=rng.choice([0.1, 0.5])), [source], channels)
            case "add":
                same = [name for name, count in self.channels.items() if count == channels]
                return self.put(path, layers.Combine("add"), [source, rng.choice(same[-4:])], channels)
            case "concat":
                others = rng.choices(list(self.channels)[-5:], k=rng.randint(1, 2))
                return self.put(
                    path, layers.Concat(), [source, *others], channels + sum(self.channels[o] for o in others)
                )
            case "separable":
                return self.put(path, layers.SeparableConv(filters=8, kernel=3, padding="same"), [source], 8)
            case "shared":
                owners = [
                    n for n in self.nodes if isinstance(n.layer, layers.Conv) and self.channels[n.inputs[0]] == channels
                ]
                if not owners:
                    return self.put(path, layers.Activation("tanh"), [source], channels)
                owner = rng.choice(owners)
                return self.put(
                    path, owner.layer, [source], owner.layer.filters, shared_with=owner.shared_with or owner.name
                )
        shape = (1, channels, 8, 8)
        return self.put(path, Unknown("aten::odd", shape, (shape,)), [source], channels)

    def several(self, path, above, count):
        """Nodes in a row, some of them in levels of their own."""
        for _ in range(count):
            if self.rng.random() < 0.25 and len(path) < 3:
                above = self.several([*path, self.rng.choice(LEVELS)], above, self.rng.randint(1, 5))
            elif self.rng.random() < 0.15:
                above = self.again(path, above)
            else:
                above = self.one(path, above)
        return above

    def again(self, path, above):
        """The same nodes several times, under names that count, with numbers of their own."""
        stem, start, plan = self.rng.choice(["unit", "block", "", "stage_"]), self.rng.randint(0, 2), self.rng.random()
        taken = {node.name for node in self.nodes}
        for turn in range(start, start + self.rng.randint(2, 5)):
            level = [*path, f"{stem}{turn}"]
            if any(name == "/".join(level) or name.startswith("/".join(level) + "/") for name in taken):
                return above
            above = self.unit(level, above, self.rng.choice(CHANNELS) if plan < 0.3 else 8, residual=plan > 0.6)
        return above

    def unit(self, level, above, filters, residual):
        names = ["/".join([*level, own]) for own in ("conv1", "bn1", "relu1", "conv2", "add1")]
        made = [layers.Conv(filters=filters, kernel=1), layers.BatchNorm(), layers.Activation("relu")]
        made.append(layers.Conv(filters=self.channels[above] if residual else 2 * filters, kernel=1))
        first = above
        for name, layer in zip(names, made, strict=False):
            self.nodes.append(Node(name, layer, (above,)))
            self.channels[name] = getattr(layer, "filters", self.channels[above])
            above = name
        if residual:
            self.nodes.append(Node(names[-1], layers.Combine("add"), (above, first)))
            self.channels[names[-1]] = self.channels[first]
            above = names[-1]
        return above


def random_model(seed, count=12):
    """A model of some dozens of nodes without a text."""
    draw = Draw(seed)
    last = draw.several([], "image", count)
    outputs = (last, draw.rng.choice(draw.nodes).name) if seed % 3 == 0 else (last,)
    return Model(f"random{seed}", draw.inputs, tuple(draw.nodes), tuple(dict.fromkeys(outputs)))


def flat(model):
    """The model by its nodes alone, without text and places."""
    nodes = tuple(Node(n.name, n.layer, n.inputs, n.trainable, n.shared_with) for n in model.nodes)
    return Model(model.name, model.inputs, nodes, model.outputs)

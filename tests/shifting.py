"""Properties tried out on the real network, in float64: claims must hold, and what is denied have a counterexample."""

from math import prod

import torch

from archcalc.crosscheck.facts import FAR, POSITIVE, randomised, rows_of
from archcalc.dialects import torch_network
from archcalc.errors import ModelError
from archcalc.layers import AvgPool, Composite, Flatten, Fold, Recurrent, Reshape, Where
from archcalc.layers.shifts_moves import BATCH
from archcalc.questions.properties import input_places

SAME, OTHER = 1e-9, 1e-7
LOW = {1: 61, 2: 29, 3: 23}  # cells along each of so many axes
ROOM = 12  # cells of an axis along which a shift is looked at


def places_in(model):
    """The axes along which each input is shifted."""
    return input_places(model, {name: (1, *item.shape) for name, item in model.inputs.items()}, model.own_size)


def handy(model):
    """Few channels, and sizes at which borders and periods show, if the model takes them; else its own."""
    for most in (8, 1_000):
        sizes, known = {}, places_in(model)
        for name, item in model.inputs.items():
            places = [place - 1 for place in known[name]]
            low = LOW.get(len(places), 6)
            shape = enumerate(item.shape)
            sizes[name] = tuple(
                min(max(n, low), low + 9) if at in places and n > 1 else min(n, most) for at, n in shape
            )
        try:
            model.properties(input=sizes)
        except ModelError:
            continue
        return sizes
    return None


def spanned(uses):
    """Cells that the windows of a single layer span, so far from an end they meet it; of several, a guess will do."""
    if len(uses) > 1 or not uses[0].xs:
        return 0
    return max((window.span for window in uses[0].layer.windows(uses[0].xs[0])), default=0)


class Tried:
    """A model built in PyTorch with random numbers everywhere, and its answer."""

    def __init__(self, model, input=None, seed=0, batch=1):
        torch.manual_seed(seed)
        self.model, self.batch = model, batch
        self.answer = model.properties(input=input)
        self.whole = self.answer.whole
        self.known = places_in(model)
        sizes = {name: shape[1:] for name, shape in self.answer.inputs.items()}
        self.network = randomised(torch_network.build(model, sizes)).double().eval()
        for module in self.network.modules():  # keep values of deep networks within bounds
            for name, tensor in module.named_parameters(recurse=False):
                if name == "weight" and tensor.dim() > 1:
                    tensor.data /= tensor[0].numel() ** 0.5 / 3
        self.shapes = [(batch, *shape[1:]) for shape in self.answer.inputs.values()]
        self.lays_out = any(
            isinstance(node.layer, Flatten | Reshape) for node in model.nodes
        )  # in rows, whose ends are borders
        self.shows_at_ends = self.lays_out or any(
            isinstance(node.layer, Recurrent) for node in model.nodes
        )  # a state forgets where it started
        self.one_number_wide = all(shape[-1] == 1 for shape in self.shapes) and any(
            isinstance(node.layer, Composite) for node in model.nodes
        )  # one of its parts spreads the number, and another gathers it again, which is not looked for
        self.few_rows = any(
            isinstance(node.layer, Fold) and min(node.layer.sizes) < ROOM for node in model.nodes
        )  # however many columns there are
        self.span = spanned(model.walk(dict(self.named_shapes())))
        self.positive = any(node.layer.kind in POSITIVE for node in model.nodes)
        read = [
            (name, use.layer, number, use.xs)
            for use in model.walk(dict(self.named_shapes()))
            for number, name in enumerate(use.inputs)
        ]
        self.read = {name for name, *_ in read}
        self.rows = {name: rows for name, *reader in read if (rows := rows_of(*reader)) is not None}
        self.conditions = {name for name, layer, number, _ in read if isinstance(layer, Where) and number == 0}

    def random(self, name, shape):
        """Values for an input: indices within their table, conditions of which half are 0, else numbers."""
        if name in self.rows:
            return torch.randint(0, self.rows[name], shape)
        x = torch.rand(shape, dtype=torch.float64) * 4 - 2
        x = torch.where(torch.rand(shape) < FAR, x * 4, x)
        if name in self.conditions:
            return torch.where(torch.rand(shape) < 0.5, 0, x)
        return x.abs() + 0.1 if self.positive else x

    def named_shapes(self):
        return zip(self.answer.inputs, self.shapes, strict=True)

    def inputs(self):
        return [self.random(name, shape) for name, shape in self.named_shapes()]

    def __call__(self, xs):
        """The answer in numbers, of which differences can be taken: truth is 1."""
        with torch.no_grad():
            y = self.network(*xs)
        return y.double() if isinstance(y, torch.Tensor) else torch.cat([part.flatten(1) for part in y], 1)

    # Algebra

    def apart(self, left, right):
        """How far two outputs are from each other, relative to their size."""
        size = max(left.abs().max(), right.abs().max(), 1e-300)
        return float((left - right).abs().max() / size)

    def linearity(self, a, b):
        first, second = self.inputs(), self.inputs()
        mixed = [a * x + b * y for x, y in zip(first, second, strict=True)]
        return self.apart(self(mixed), a * self(first) + b * self(second))

    def scaling(self, degree, t=3.0):
        xs = self.inputs()
        return self.apart(self([t * x for x in xs]), t**degree * self(xs))

    def reaches_elsewhere(self):
        """Does some output cell read another input cell than the one in its place?"""
        xs = self.inputs()
        y = self(xs)
        read = {number: x for number, x in enumerate(xs) if list(self.answer.inputs)[number] in self.read}
        if any(x.shape != y.shape for x in read.values()):
            return True
        for number, x in read.items():
            for _ in range(12):
                place = tuple(int(torch.randint(n, ())) for n in x.shape)
                changed = [v.clone() for v in xs]
                changed[number][place] += 10
                moved = (self(changed) - y).abs() > 0
                moved[place] = False
                if moved.any():
                    return True
        return False

    def check_algebra(self):
        whole = self.whole
        if not self.rows:  # indices cannot be scaled
            linear = [self.linearity(0.7, 0.6) for _ in range(3)]
            affine = [self.linearity(t, 1 - t) for t in (0.2, 0.5, 0.7)]
            assert (max(linear) < SAME) if whole.linear.holds else (max(linear) > OTHER), linear
            assert (max(affine) < SAME) if whole.affine.holds else (max(affine) > OTHER), affine
            scaled = [self.scaling(1.0, t) for t in (0.3, 3.0)]
            assert (max(scaled) < SAME) if whole.homogeneous.holds else (max(scaled) > OTHER), scaled
            if whole.degree is not None:
                assert self.scaling(whole.degree) < SAME
        large = all(prod(shape[1:]) > 3 for shape in self.shapes)
        if whole.elementwise.holds or (large and not self.one_number_wide):
            assert self.reaches_elsewhere() != whole.elementwise.holds

    # Shifts

    def places(self, number):
        """For each input, which axis is shifted, if any."""
        for name in self.answer.inputs:
            places = self.known[name]
            yield places[number] if number < len(places) else None

    def lengths(self, number):
        return [shape[place] for shape, place in zip(self.shapes, self.places(number), strict=True) if place]

    def seen_through_a_window(self, number, by):
        """Outputs of two windows on the same endless image, `by` cells apart."""
        first, second = [], []
        for (name, shape), place in zip(self.named_shapes(), self.places(number), strict=True):
            if place is None:
                first.append(self.random(name, shape))
                second.append(first[-1])
                continue
            whole = self.random(name, tuple(n + by if at == place else n for at, n in enumerate(shape)))
            first.append(whole.narrow(place, 0, shape[place]))
            second.append(whole.narrow(place, by, shape[place]))
        return self(first), self(second)

    def moving_inside(self, number, by):
        """Outputs of what stands in the middle of an even background, and of the same `by` cells before."""
        first, second = [], []
        for (name, shape), place in zip(self.named_shapes(), self.places(number), strict=True):
            if place is None:
                first.append(self.random(name, shape))
                second.append(first[-1])
                continue
            alike = range(min(place, 2), len(shape)) if place > 1 else (1,)  # axes along which the background is even
            ground = torch.rand([1 if at in alike else n for at, n in enumerate(shape)], dtype=torch.float64)
            ground = ground.expand(shape)
            start, length = shape[place] // 2, max(2, shape[place] // 16)
            thing = self.random(name, tuple(length if at == place else n for at, n in enumerate(shape)))
            for made, at in ((first, start), (second, start - by)):
                made.append(ground.clone())
                made[-1].narrow(place, at, length).copy_(thing)
        return self(first), self(second)

    def moved(self, before, after, at, step, margin):
        """How far the second output is from the first moved by a step, in cells so far from both ends."""
        size = before.shape[at]
        cells = size - step - 2 * margin
        if cells < 1:
            return None
        return self.apart(before.narrow(at, margin + step, cells), after.narrow(at, margin, cells))

    def check_shifts(self):
        for number in range(len(self.whole.shifts)):
            if all(n >= ROOM for n in self.lengths(number)) and not self.few_rows:  # else too short to see a shift
                self.check_shift(number)

    def check_shift(self, number):
        along = self.whole.shifts[number]
        if along.why:
            self.check_denied(number)
        elif along.invariant:
            self.check_invariant(number, along)
        else:
            self.check_equivariant(number, along)

    def check_invariant(self, number, along):
        assert self.apart(*self.moving_inside(number, along.period)) < SAME
        averages = any(
            isinstance(node.layer, AvgPool) for node in self.model.nodes
        )  # averaged again, any shift will do
        for prime in () if averages else (2, 3, 5, 7):
            if along.period % prime == 0:
                assert self.apart(*self.moving_inside(number, along.period // prime)) > OTHER
        tries = (self.apart(*self.seen_through_a_window(number, along.period)) for _ in range(50))
        assert any(apart > OTHER for apart in tries)

    def check_equivariant(self, number, along):
        before, after = self.seen_through_a_window(number, along.period)
        quarter = before.shape[along.at] // 4
        border = max(quarter, self.span)
        if along.where == "everywhere":
            self.agrees(before, after, along, 0)
        elif along.where == "inside":
            self.differs(before, after, along, 0)
            self.agrees(before, after, along, border)
        else:
            self.differs(before, after, along, quarter)
            self.agrees(*self.moving_inside(number, along.period), along, border)
        for prime in (2, 3, 5, 7):
            if along.period % prime == 0:
                self.check_no_step(number, along.period // prime, [along.at])

    def agrees(self, before, after, along, margin):
        found = self.moved(before, after, along.at, along.step, margin)
        assert found is None or found < SAME, found

    def differs(self, before, after, along, margin):
        found = self.moved(before, after, along.at, along.step, margin)
        assert found is None or found > OTHER, found

    def check_denied(self, number):
        if any(isinstance(node.layer, Reshape) for node in self.model.nodes):
            return  # rows of another length may run on by chance
        if self.whole.shifts[number].why.endswith((BATCH, "reduces the batch")):
            return  # denied for what it does to several images; one by itself may well follow
        for by in (1, 2, 3):
            self.check_no_step(number, by, None)

    def check_no_step(self, number, by, axes):
        """No step along these axes of the output is what a shift of the input does."""
        before, after = self.seen_through_a_window(number, by)
        assert self.apart(before, after) > OTHER, f"stays under a shift by {by}"
        for at in axes or range(1, before.dim()):
            for step in range(min(12, before.shape[at] - 1)):
                edge = before.shape[at] // 4 if before.shape[at] > 8 and not self.shows_at_ends else 0
                found = self.moved(before, after, at, step, edge)
                assert found is None or found > OTHER, f"a shift by {by} moves axis {at} by {step}"

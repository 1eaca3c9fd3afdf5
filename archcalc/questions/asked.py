"""A network with everything that its memory depends on, and the largest batch and input that fit into so many bytes."""

from collections.abc import Callable, Sequence
from functools import cached_property
from math import gcd

from msgspec import Struct
from msgspec.structs import replace

from archcalc.errors import ModelError
from archcalc.layers.layer import Shape
from archcalc.model.network import Network
from archcalc.model.walk import outline, walk
from archcalc.questions.account import Account, Choices
from archcalc.questions.ledger import Moment

LARGEST = 2**40  # of a batch or an axis that is looked at
HOLES = 64  # sizes in a row that a model may refuse before the search ends there


class Asked(Struct, frozen=True, dict=True):
    """A model at full shapes under choices, and variations of it."""

    model: Network
    shapes: dict[str, Shape]
    dtype: str
    choices: Choices

    @cached_property
    def account(self) -> Account:
        """What it takes."""
        return Account(self.model, self.model.walk(self.shapes), self.shapes, self.dtype, self.choices)

    @cached_property
    def _moment(self) -> Moment:
        return max(self.account.ledger(training=self.choices.training).moments, key=lambda moment: moment.bytes)

    @property
    def peak(self) -> int:
        """Bytes at the peak of what was asked, training or inference."""
        return self._moment.bytes

    @property
    def when(self) -> str:
        """The peak's moment in words."""
        return self._moment.words

    @property
    def batch(self) -> int:
        """Images at once."""
        return next(iter(self.shapes.values()))[0]

    def at_batch(self, batch: int) -> "Asked":
        """The same with another batch."""
        return replace(self, shapes={name: (batch, *shape[1:]) for name, shape in self.shapes.items()})

    @property
    def of_image(self) -> bool:
        """Is there one input, an image?"""
        return len(self.shapes) == 1 and all(map(self.model.reads_as_image, self.shapes))

    def steps(self, multiple: int) -> tuple[list[int], int]:
        """The smallest axes of the same proportions, each a multiple, and how many of them the image is."""
        (shape,) = self.shapes.values()
        common = gcd(*shape[2:])
        return [axis // common * multiple for axis in shape[2:]], max(common // multiple, 1)

    def at_axes(self, axes: Sequence[int]) -> "Asked":
        """The same with other spatial axes."""
        return replace(self, shapes={name: (*shape[:2], *axes) for name, shape in self.shapes.items()})

    @property
    def accepted(self) -> bool:
        """Does the model take these shapes?"""
        try:
            walk(self.model, self.shapes, ask=outline)
        except ModelError:
            return False
        return True


def largest_batch(asked: Asked, room: int) -> int | None:
    """The largest batch that fits: a peak never shrinks as the batch grows."""
    return largest(asked.at_batch, room, asked.batch)


def largest_input(asked: Asked, room: int, multiple: int) -> tuple[int, ...] | None:
    """The largest input of the same proportions that fits, each axis a multiple; None where no image is given."""
    if not asked.of_image:
        return None
    unit, start = asked.steps(multiple)
    n = largest(lambda n: asked.at_axes([n * step for step in unit]), room, start)
    return None if n is None else tuple(n * step for step in unit)


def why_no_input(asked: Asked, multiple: int) -> str:
    """Why no input fits: the smallest that the model accepts does not, or it accepts none of those looked at."""
    unit, start = asked.steps(multiple)
    sizes = [[n * step for step in unit] for n in range(1, start + HOLES)]
    first = next((axes for axes in sizes if asked.at_axes(axes).accepted), None)
    if first is not None:
        return f"not even {_by(first)} fits"
    looked = f"{_by(sizes[0])}, {_by(sizes[1])} … {_by(sizes[-1])}"
    return f"the model accepts none of {looked}; archcalc formula names those that it does"


def _by(axes: Sequence[int]) -> str:
    return "x".join(map(str, axes))


def largest(at: Callable[[int], Asked], room: int, start: int) -> int | None:
    """The largest number at which it fits, by doubling and halving; numbers that the model refuses are stepped over."""

    def fits(n: int) -> bool | None:
        try:
            return at(n).peak <= room
        except ModelError:
            return None

    low, high = 0, max(start, 1)
    while (here := stepped(fits, high)) is not None and here[1]:
        low, high = here[0], 2 * here[0]
        if high > LARGEST:
            return low
    while high - low > 1:
        middle = (low + high) // 2
        here = stepped(fits, middle, high)
        if here is None or not here[1]:
            high = middle
        else:
            low = here[0]
    return low or None


def stepped(fits: Callable[[int], bool | None], n: int, end: int | None = None) -> tuple[int, bool] | None:
    """The first number from n on that the model takes, and whether it fits."""
    for candidate in range(n, min(n + HOLES, end or n + HOLES)):
        answer = fits(candidate)
        if answer is not None:
            return candidate, answer
    return None

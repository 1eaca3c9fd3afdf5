"""The mistakes a user can make: an error carries rule, values, place and way out, and builds its text from them."""

from collections.abc import Iterable

LONGEST = 200  # characters of a value that a message repeats
MOST = 500  # names among which the closest one is looked for


class ArchcalcError(ValueError):
    """What was expected, what was found, where, and what to do about it.

    >>> print(ArchcalcError("Conv", "groups must divide the input channels", "groups=3, channels=64"))
    Conv: groups must divide the input channels; got groups=3, channels=64
    """

    def __init__(self, subject: str, rule: str, got: str = "", *, where: str = "", way_out: str = "") -> None:
        super().__init__(subject, rule, got)
        self.subject, self.rule, self.got = subject, rule, got
        self.where, self.way_out = where, way_out

    def __str__(self) -> str:
        got = self.got if len(self.got) <= LONGEST else f"{self.got[:LONGEST]}…"
        text = f"{self.subject}: {self.rule}" + (f"; got {got}" if got else "")
        if self.where:
            return f"{text}\n  at {self.where}" + (f": {self.way_out}" if self.way_out else "")
        return text + (f"\n  {self.way_out}" if self.way_out else "")

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.__dict__))


class UsageError(ArchcalcError):
    """Something on the command line, or an argument of a call, is wrong."""


class ModelError(ArchcalcError):
    """The model or its file is wrong: missing, unreadable, invalid, or its shapes do not fit."""


class LayerError(ModelError):
    """A layer cannot have these fields, or cannot take these inputs."""


class WindowError(LayerError):
    """A window is larger than its padded axis: a larger input helps."""


class CannotRun(ArchcalcError):
    """An extra package, a device or memory is missing that this needs."""


class Problems(ModelError):
    """Several mistakes found in one reading."""

    def __init__(self, problems: Iterable[ModelError]) -> None:
        self.problems = tuple(problems)
        super().__init__("model", f"{len(self.problems)} problems")

    def __str__(self) -> str:
        return "\n".join([*map(str, self.problems), f"{len(self.problems)} problems"])


def _rebuild(cls: type[ArchcalcError], state: dict[str, object]) -> ArchcalcError:
    error = cls.__new__(cls)
    error.__dict__.update(state)
    return error


def nearest(word: str, known: Iterable[str], *, listed: bool = True) -> str:
    """The way out for a name that is not known: the closest one, or all of them when few and if they are to be listed.

    >>> nearest("max_pol", ["max_pool", "avg_pool"])
    'did you mean max_pool?'
    """
    from difflib import get_close_matches  # loaded only when there is a mistake to explain

    names = [str(name) for name in known][:MOST]
    close = get_close_matches(word[:LONGEST], names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(names)}" if listed and names and len(names) <= 12 else ""

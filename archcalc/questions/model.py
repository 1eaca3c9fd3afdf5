"""Model: the object that users hold, with every question that can be asked of it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archcalc.model.network import Network
from archcalc.model.sizes import Sizes

if TYPE_CHECKING:
    from archcalc.hardware.device import Device
    from archcalc.questions.closed_form import ClosedForm
    from archcalc.questions.decode import Decode
    from archcalc.questions.drawing import Drawing
    from archcalc.questions.explain import Explanation
    from archcalc.questions.field import Field
    from archcalc.questions.field_form import FieldForm
    from archcalc.questions.fit import Fit
    from archcalc.questions.memory import Memory
    from archcalc.questions.page import Page
    from archcalc.questions.properties import Answer
    from archcalc.questions.solve import Solution
    from archcalc.questions.sweep import Sweep
    from archcalc.questions.time import Timing
    from archcalc.questions.wiring import Transform


class Model(Network, frozen=True, dict=True, eq=False):
    """A network: what it is given, its layers, what it returns; and what its author expects of it.

    >>> from archcalc.layers import Conv, MaxPool
    >>> model = Model.chain("small", {"image": (1, 28, 28)}, [Conv(filters=20, kernel=5), MaxPool(kernel=2)])
    >>> model.report(input=(1024, 1024)).totals.macs
    520200000
    >>> print(model.closed_form("macs").written("text"))
    500·(H - 4)·(W - 4)
    """

    def closed_form(self, of: str = "macs", **options: Any) -> "ClosedForm":
        """A quantity as one expression in the input sizes, with the conditions under which it holds.

        `of` is output, params, macs, flops, output_bytes or another column of the report. Options: `layer` (a layer or
        block), `symbols` (letters: H, W, N for the batch, names of hyperparameters), `assume` (such as "H % 32 == 0"),
        `input`, `batch`, `dtype`, `convention` as of a report, for what is no symbol.
        Raises UsageError for a wrong argument, ModelError where a layer has no formula in a symbol.
        """
        from archcalc.questions.closed_form import closed_form

        return closed_form(self, of, **options)

    def explain(self, input: Sizes | Mapping[str, Sizes] | None = None, **options: Any) -> "Explanation":
        """How every number of the report is made: in names, in values, and what a division that leaves a rest drops.

        Options: `layer` (a layer or block), `batch`, `dtype`, `convention` as of a report. `str()` is the page.
        Raises UsageError for a wrong argument and ModelError where the shapes do not fit.
        """
        from archcalc.questions.explain import explain

        return explain(self, input, **options)

    def sweep(self, input: Sizes | Sequence[str] | None = None, **options: Any) -> "Sweep":
        """Quantities over a grid of sizes: `model.sweep("32..1024:32", batch=[1, 8], of=["macs"])`.

        `input` is a range for square inputs, or one for each axis joined by x. Options: `batch`, `settings` (values of
        hyperparameters), `of` (quantities), `dtype`, `convention`; `sample` takes so many points at random (`seed`);
        `executor`, any concurrent.futures.Executor, computes the chunks; `show` wraps the choices of settings,
        as a progress bar does. `.table()` are arrays, `.rows()` rows,
        `.write(path)` a CSV file that a later run of the same sweep goes on with.
        Raises UsageError for a wrong argument or more than 20 million points, ModelError where the model is wrong.
        """
        from archcalc.questions.sweep import sweep

        return sweep(self, input, **options)

    def solve(self, maximised: str, subject_to: str, **options: Any) -> "Solution":
        """The largest input, batch or hyperparameter within limits: `model.solve("batch", "output_bytes <= 2GiB")`.

        Options: `input`, `batch`, `dtype`, `convention` as of a report; for `input` also `aspect` ("16:9", width to
        height) and `multiple` (of every size). The solution holds the certificate: what the answer costs, what the
        next candidate costs, and why nothing larger fits. Raises UsageError for a wrong argument.
        """
        from archcalc.questions.solve import solve

        return solve(self, maximised, subject_to, **options)

    def memory(self, input: Sizes | Mapping[str, Sizes] | None = None, **options: Any) -> "Memory":
        """How much memory inference and training take, in bytes: named quantities, peaks and their moments.

        Options: `batch`, `dtype` as of a report; `training=True` with `optimizer` (none, sgd, momentum, adam, adamw,
        rmsprop, adagrad), `amp` (float16 or bfloat16: mixed precision), `checkpoint` (layers or blocks to a segment
        that is computed twice) at a `depth` of the names, `in_place`, `hold="blocks"`, `set_to_none=False`,
        `master=True`, `allocator="exact"` (no rounding to 512 B). `.forms()` are closed forms, `.plot(path)` draws
        the timeline.
        Raises UsageError for a wrong argument and ModelError where the shapes do not fit.
        """
        from archcalc.questions.memory import memory

        return memory(self, input, **options)

    def time(
        self, device: "Device | str", input: Sizes | Mapping[str, Sizes] | None = None, **options: Any
    ) -> "Timing":
        """How long it takes on a device: bounds that nothing beats, an estimate, and what the estimate is made of.

        `device` is an id of the table, a rate such as "1TFLOPS", or a Device. Options: `batch`, `dtype` as of a report;
        `math_mode` (torch, ieee, tf32: how float32 is multiplied), `training=True` (forward and backward),
        `calibration` (one, or one for each rate), `energy=True`. `.plot(path)` draws the roofline.
        Raises UsageError for a device without a rate for the dtype, ModelError where the shapes do not fit.
        """
        from archcalc.questions.time import time

        return time(self, device, input, **options)

    def decode(self, position: int, **options: Any) -> "Decode":
        """What one more token costs a model of causal attention, with so many before it: MACs, and the KV cache.

        Options: `batch`, `dtype` as of a report; `cache_dtype`, of the keys and values that are kept. `str()` is the
        page. Raises UsageError for a wrong argument, ModelError for a model that cannot decode.
        """
        from archcalc.questions.decode import decode

        return decode(self, position, **options)

    def fit(
        self, memory_bytes: int | None = None, input: Sizes | Mapping[str, Sizes] | None = None, **options: Any
    ) -> "Fit":
        """Does it fit into so many bytes, or a `device`'s memory: the largest batch and input, and ways out if not.

        Options: `batch`, `dtype` and the choices of `memory`; `device`, for its memory and for the time that a way
        costs; `multiple` (of every size of the largest input). Raises UsageError for a wrong argument.
        """
        from archcalc.questions.fit import fit

        return fit(self, memory_bytes, input, **options)

    def draw(self, input: Sizes | Mapping[str, Sizes] | None = None, **options: Any) -> "Drawing":
        """The network as boxes and wires: `.svg()`, `.mermaid()`, `.dot()`; in a notebook, the picture.

        Options: `batch`, `depth` (levels of names; by default the deepest that stays readable). Equal blocks in a row
        are one box. Raises UsageError for a wrong argument or more than 500 boxes, ModelError where the model is wrong.
        """
        from archcalc.questions.drawing import draw

        return draw(self, input, **options)

    def page(self, input: Sizes | Mapping[str, Sizes] | None = None, **options: Any) -> "Page":
        """A page of HTML on which every number follows the sizes that a reader chooses: `.html` is the whole file.

        Options: `batch`, `dtype`, `device` (an id, or a Device), to begin with. Nothing is loaded by it, or sent.
        Raises UsageError for a wrong argument or more than 20,000 layers, ModelError where the shapes do not fit.
        """
        from archcalc.questions.page import page

        return page(self, input, **options)

    def field(
        self, layer: str | None = None, cell: Sequence[int] | None = None,
        box: Sequence[int] | Mapping[str, Sequence[int]] | None = None, *,
        input: Sizes | Mapping[str, Sizes] | None = None, batch: int = 1,
    ) -> "Field":  # fmt: skip
        """What cells see: size, stride and start of every layer's receptive field, along each axis of each input.

        With `cell`, the box of one cell of a layer, whole and clipped to the image; with `box` (all starts, then all
        ends; by name where there are several inputs), the cells of the layer that see any of it. The layer is
        by default the last one that does not see everything. `.plot(path)` draws the cell's box.
        Raises UsageError for a wrong argument and ModelError where the shapes do not fit.
        """
        from archcalc.questions.field import field

        return field(self, layer, cell, box, input=input, batch=batch)

    def properties(self, layer: str | None = None, input: Sizes | Mapping[str, Sizes] | None = None) -> "Answer":
        """Which layers are linear, affine, homogeneous, elementwise, shift-equivariant; and the whole, with reasons.

        With `layer` (a layer or block), of that alone. `.whole` has the verdicts, `str()` is the page.
        Raises UsageError for a layer that the model does not have, ModelError where the shapes do not fit.
        """
        from archcalc.questions.properties import properties

        return properties(self, layer, input)

    def field_form(
        self, symbols: str | Sequence[str], layer: str | None = None,
        input: Sizes | Mapping[str, Sizes] | None = None,
    ) -> "tuple[FieldForm, ...]":  # fmt: skip
        """Size, stride and start of a layer's field as expressions in hyperparameters, one for each input.

        `symbols` are names of the spec's `set:`, such as a kernel; what else the field depends on is as it is there.
        Raises UsageError for a wrong name, ModelError where a layer has no field in symbols.
        """
        from archcalc.questions.field_form import field_form

        return field_form(self, symbols, layer, input)

    def fully_convolutional(self, input: Sizes | Mapping[str, Sizes] | None = None) -> "Transform":
        """The network whose dense head is convolutions: equal at this size, a map of outputs on a larger image.

        `.after` is the model; `archcalc.torch.carry(transform, state_dict)` reshapes the weights.
        Raises ModelError naming the layer that prevents it.
        """
        from archcalc.questions.convolutional import fully_convolutional

        return fully_convolutional(self, input)

    def collapsed(self, to: str = "conv", input: Sizes | Mapping[str, Sizes] | None = None) -> "Transform":
        """Affine layers in a row as one: convolutions as one convolution, or (`to="dense"`) a chain as one dense layer.

        A layer that pads what others made stays apart, since at the borders one convolution would differ; a dense
        layer takes padding in, for it holds at this size only. Raises ModelError where there is nothing to collapse.
        """
        from archcalc.questions.collapse import collapsed

        return collapsed(self, to, input)

    def folded(self) -> "Transform":
        """Without the batch norms that follow a convolution or dense layer: their numbers go into its weights and bias.

        Raises ModelError where there is none.
        """
        from archcalc.questions.transform import fold_batch_norm

        return fold_batch_norm(self)

    def separable(self) -> "Transform":
        """With depthwise separable convolutions in place of full ones where that saves weights: another network.

        Raises ModelError where there is none.
        """
        from archcalc.questions.transform import separable

        return separable(self)

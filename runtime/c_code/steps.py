"""The steps of a plan as calls of the exported C."""

from dataclasses import dataclass
from functools import singledispatchmethod
from typing import Any, Final

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.c_code import bit_slices, layers
from bnnkit.runtime.c_code.buffers import Call, bytes_of
from bnnkit.runtime.c_code.calls import (
    Values,
    apply_map,
    apply_numbers,
    copy,
    pixels_of,
    size_of,
    unary,
)
from bnnkit.runtime.c_code.constants import Constants
from bnnkit.runtime.c_code.numpy_operators import as_reals, numpy_operator
from bnnkit.runtime.kernels import reals
from bnnkit.runtime.memory.values import Array
from bnnkit.runtime.steps.bit_sliced import BitSlicedConvolution, SpreadGroups
from bnnkit.runtime.steps.convolution import Convolution
from bnnkit.runtime.steps.depthwise import Depthwise
from bnnkit.runtime.steps.real import (
    Centre,
    Chain,
    CopyReal,
    CopyTokens,
    FromChannelsLast,
    NumpyOperator,
    PlaceReals,
    PoolReals,
)
from bnnkit.runtime.steps.signs import AlignGroups, CopySigns, PackSigns, PoolSigns, UnpackSigns
from bnnkit.runtime.steps.step import Step
from bnnkit.runtime.steps.stochastic import Repeat, SampleSigns

OPERATIONS: Final = {
    reals.ADD: "BNN_ADD",
    reals.MULTIPLY: "BNN_MULTIPLY",
    reals.DIVIDE: "BNN_DIVIDE",
    reals.MAXIMUM: "BNN_MAXIMUM",
    reals.MINIMUM: "BNN_MINIMUM",
    reals.SLOPE: "BNN_SLOPE",
    reals.ADD_MAP: "BNN_ADD_MAP",
    reals.SUBTRACT_MAP: "BNN_SUBTRACT_MAP",
    reals.MULTIPLY_MAP: "BNN_MULTIPLY_MAP",
    reals.ROUND: "BNN_ROUND",
}
"""The operations of a chain after its first, by their code in the runtime."""


@dataclass(frozen=True)
class Translation:
    """Translates the steps of one plan.

    Attributes:
        values: Kind and shape of each value.
        constants: Receives the constants.
        shapes: Numbers of the shapes for a batch of one, by name.
    """

    values: Values
    constants: Constants
    shapes: dict[str, Array]

    @singledispatchmethod
    def calls(self, step: Step) -> list[Call]:
        """Return the calls of a step.

        Raises:
            UnsupportedError: If the exported C lacks it; the message is a noun phrase.
        """
        raise UnsupportedError(f"a step {type(step).__name__}")

    @calls.register
    def _(self, step: Convolution) -> list[Call]:
        return layers.convolution(step, self.values, self.constants)

    @calls.register
    def _(self, step: Depthwise) -> list[Call]:
        return layers.depthwise(step, self.values, self.constants)

    @calls.register
    def _(self, step: BitSlicedConvolution) -> list[Call]:
        return [bit_slices.bit_sliced(step, self.values, self.constants)]

    @calls.register
    def _(self, step: SpreadGroups) -> list[Call]:
        return [bit_slices.spread_groups(step, self.values)]

    @calls.register
    def _(self, step: Centre) -> list[Call]:
        if self.values[step.source].dtype != np.uint8:
            raise UnsupportedError("an integer layer whose input is not uint8")
        channels, pixels = self.values[step.source].map[0], pixels_of(self.values, step.source)
        is_image = self.values[step.source].kind == "image"  # (C, H, W); others are (H, W, C)
        steps = f"1, {pixels}" if is_image else f"{channels}, 1"
        zero_point = step.zero_point.astype(np.uint8)
        is_same = (zero_point == zero_point[0]).all()
        name = self.constants.array(zero_point[:1] if is_same else zero_point)
        sizes = f"{pixels}, {channels}, {steps}, {name}, {int(not is_same)}"
        return [self._unary(step, f"bnn_centre({{x}}, {sizes}, {{y}});")]

    @calls.register
    def _(self, step: Chain) -> list[Call]:
        calls, source = list[Call](), step.source
        for code, operand in step.operations:
            calls.append(self._operation(step, source, code, operand))
            source = step.target
        if step.signs is not None:
            pack = f"bnn_pack_reals({{x}}, {self._size(step.target)}, 0, {{y}});"
            calls.append(unary(pack, step.target, step.signs))
        return calls

    def _operation(self, step: Chain, source: str, code: int, operand: str | Array) -> Call:
        pixels, channels = pixels_of(self.values, step.target), self.values[step.target].map[0]
        if code == reals.CAST:
            return as_reals(self.values, source, step.target)
        operands, reads, name = {}, [source], OPERATIONS[code]
        if isinstance(operand, str):
            operands["map"] = operand
            reads.append(operand)
            stride = channels if pixels_of(self.values, operand) == pixels else 0
            text = apply_map(name, self.values, step.target, stride)
        else:
            one = np.float32(0) if code == reals.ROUND else operand.astype(np.float32)
            numbers = np.ascontiguousarray(np.broadcast_to(one, channels))
            text = apply_numbers(name, self.values, step.target, numbers, self.constants)
        return Call(
            code=text,
            operands={"x": source, "y": step.target, **operands},
            reads=tuple(reads),
            writes=(step.target,),
            replaces=(source, step.target),
        )

    @calls.register
    def _(self, step: PackSigns) -> list[Call]:
        is_integer = step.thresholds.dtype == np.int32
        kernel = "bnn_pack_sums" if is_integer else "bnn_pack_reals"
        has_thresholds = is_integer or step.thresholds.any()
        thresholds = self.constants.array(step.thresholds) if has_thresholds else "0"
        code = f"{kernel}({{x}}, {self._size(step.source)}, {thresholds}, {{y}});"
        return [self._unary(step, code)]

    @calls.register
    def _(self, step: UnpackSigns) -> list[Call]:
        return [self._unary(step, f"bnn_unpack({{x}}, {self._size(step.source)}, {{y}});")]

    @calls.register
    def _(self, step: PoolSigns) -> list[Call]:
        pixel = -(-self.values[step.source].map[0] // 8)
        fields = layers.window_fields(self.values[step.source], step.window, pixel)
        window = self.constants.record("bnn_window", fields)
        return [self._unary(step, f"bnn_pool_signs(&{window}, {{x}}, {{y}});")]

    @calls.register
    def _(self, step: PoolReals) -> list[Call]:
        channels = self.values[step.source].map[0]
        fields = layers.window_fields(self.values[step.source], step.window, 4 * channels)
        window = self.constants.record("bnn_window", fields)
        arguments_ = f"&{window}, {channels}, {'BNN_LARGEST' if step.is_maximum else 'BNN_SUM'}"
        return [self._unary(step, f"bnn_pool_reals({arguments_}, {{x}}, {{y}});")]

    @calls.register
    def _(self, step: AlignGroups) -> list[Call]:
        code = f"bnn_align_groups({{x}}, {self._size(step.source)}, {step.groups}, {{y}});"
        return [self._unary(step, code)]

    @calls.register
    def _(self, step: CopySigns) -> list[Call]:
        return [self._clear(step), self._place(step, 0)]

    @calls.register
    def _(self, step: PlaceReals) -> list[Call]:
        first = 4 * step.first_channel
        return [self._clear(step), self._place(step, first)]

    def _clear(self, step: CopySigns | PlaceReals) -> Call:
        """Set what the copy leaves to zero; `network.py` drops all but the first of a value."""
        code = f"memset({{y}}, 0, {bytes_of(self.values[step.target])});"
        return Call(code=code, operands={"y": step.target}, reads=(), writes=(step.target,))

    def _place(self, step: CopySigns | PlaceReals, first: int) -> Call:
        """Copy a map to its place; `first` is the first byte that it takes in a pixel."""
        source, target = self.values[step.source], self.values[step.target]
        _, rows, columns = source.map
        pixels = [bytes_of(value) // (value.map[1] * value.map[2]) for value in (source, target)]
        place = f"{target.map[2]}, {pixels[1]}, {step.top}, {step.left}, {first}"
        return self._unary(
            step, f"bnn_place({{x}}, {rows}, {columns}, {pixels[0]}, {{y}}, {place});"
        )

    @calls.register
    def _(self, step: CopyReal) -> list[Call]:
        return [as_reals(self.values, step.source, step.target)]

    @calls.register
    def _(self, step: FromChannelsLast | CopyTokens) -> list[Call]:
        return [copy(self.values, step.source, step.target)]

    @calls.register
    def _(self, step: Repeat) -> list[Call]:
        return [copy(self.values, step.source, step.target)]

    @calls.register
    def _(self, step: SampleSigns) -> list[Call]:
        is_sums = self.values[step.source].kind == "sums"
        kernel = "bnn_sample_sums" if is_sums else "bnn_sample_reals"
        noise = layers.noise_record(self.constants, step.noise)
        code = f"{kernel}({{x}}, {pixels_of(self.values, step.source)}, {noise}, sample, {{y}});"
        return [unary(code, step.source, step.target, is_sampled=True)]

    @calls.register
    def _(self, step: NumpyOperator) -> list[Call]:
        return numpy_operator(step, self.values, self.constants, self.shapes)

    def _unary(self, step: Any, code: str) -> Call:
        return unary(code, step.source, step.target)

    def _size(self, name: str) -> str:
        return size_of(self.values, name)

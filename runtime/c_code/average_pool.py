"""Average pooling whose windows have different numbers of pixels, at the padded border."""

from bnnkit.artifact.standard.pooling import Attributes, pixels_of_windows
from bnnkit.errors import UnsupportedError
from bnnkit.runtime.c_code.buffers import Call
from bnnkit.runtime.c_code.calls import Values, size_of, unary
from bnnkit.runtime.c_code.constants import Constants
from bnnkit.runtime.c_code.layers import window_fields
from bnnkit.runtime.lowering.pooling import pool_window
from bnnkit.runtime.memory.values import FLOAT


def average_pool(
    attributes: Attributes, source: str, target: str, values: Values, constants: Constants
) -> list[Call]:
    """Return the sums over the windows and their division by the numbers of pixels.

    Raises:
        UnsupportedError: If the value is not a map of float32.
    """
    value = values[source]
    if value.kind != "real" or value.dtype != FLOAT or len(value.shape) != 3:
        raise UnsupportedError("AveragePool of something else than a map of float32")
    channels, height, width = value.map
    window = pool_window(attributes, height, width)
    record = constants.record("bnn_window", window_fields(value, window, 4 * channels))
    counts = constants.array(pixels_of_windows(attributes, (height, width), FLOAT))
    pool = f"bnn_pool_reals(&{record}, {channels}, BNN_PADDED_SUM, {{x}}, {{y}});"
    divide = f"bnn_divide_pixels({{x}}, {size_of(values, target)}, {counts}, {{y}});"
    return [unary(pool, source, target), unary(divide, target, target)]

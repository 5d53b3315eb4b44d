"""Options of TFLite's builtin operators: the fields of each table of the union BuiltinOptions.

Names, slots, types and defaults are those of tensorflow/lite/schema/schema.fbs. operators.py says
which operator has which options.
"""

from dataclasses import dataclass

from bnnkit.tflite.fields import (
    Options,
    boolean,
    enumeration,
    float32,
    int32,
    int32_vector,
    int64,
)
from bnnkit.tflite.schema import Activation, MirrorPadMode, Padding, TensorType, WeightsFormat


@dataclass(frozen=True, kw_only=True)
class Conv2DOptions(Options):
    """CONV_2D."""

    padding: Padding = enumeration(0, Padding.SAME, always=True)
    stride_w: int = int32(1, always=True)
    stride_h: int = int32(2, always=True)
    fused_activation_function: Activation = enumeration(3, Activation.NONE, always=True)
    dilation_w_factor: int = int32(4, 1, always=True)
    dilation_h_factor: int = int32(5, 1, always=True)
    quantized_bias_type: TensorType = enumeration(6, TensorType.FLOAT32)


@dataclass(frozen=True, kw_only=True)
class DepthwiseConv2DOptions(Options):
    """DEPTHWISE_CONV_2D."""

    padding: Padding = enumeration(0, Padding.SAME, always=True)
    stride_w: int = int32(1, always=True)
    stride_h: int = int32(2, always=True)
    depth_multiplier: int = int32(3, always=True)
    fused_activation_function: Activation = enumeration(4, Activation.NONE, always=True)
    dilation_w_factor: int = int32(5, 1, always=True)
    dilation_h_factor: int = int32(6, 1, always=True)


@dataclass(frozen=True, kw_only=True)
class TransposeConvOptions(Options):
    """TRANSPOSE_CONV."""

    padding: Padding = enumeration(0, Padding.SAME, always=True)
    stride_w: int = int32(1, always=True)
    stride_h: int = int32(2, always=True)
    fused_activation_function: Activation = enumeration(3, Activation.NONE)
    quantized_bias_type: TensorType = enumeration(4, TensorType.FLOAT32)


@dataclass(frozen=True, kw_only=True)
class FullyConnectedOptions(Options):
    """FULLY_CONNECTED."""

    fused_activation_function: Activation = enumeration(0, Activation.NONE)
    weights_format: WeightsFormat = enumeration(1, WeightsFormat.DEFAULT)
    keep_num_dims: bool = boolean(2)
    asymmetric_quantize_inputs: bool = boolean(3)
    quantized_bias_type: TensorType = enumeration(4, TensorType.FLOAT32)


@dataclass(frozen=True, kw_only=True)
class Pool2DOptions(Options):
    """MAX_POOL_2D and AVERAGE_POOL_2D."""

    padding: Padding = enumeration(0, Padding.SAME, always=True)
    stride_w: int = int32(1, always=True)
    stride_h: int = int32(2, always=True)
    filter_width: int = int32(3, always=True)
    filter_height: int = int32(4, always=True)
    fused_activation_function: Activation = enumeration(5, Activation.NONE)


@dataclass(frozen=True, kw_only=True)
class ActivationOptions(Options):
    """MUL, DIV and L2_NORMALIZATION, which can apply an activation to their result."""

    fused_activation_function: Activation = enumeration(0, Activation.NONE)


@dataclass(frozen=True, kw_only=True)
class AddOptions(ActivationOptions):
    """ADD and SUB."""

    pot_scale_int16: bool = boolean(1, default=True)


@dataclass(frozen=True, kw_only=True)
class SoftmaxOptions(Options):
    """SOFTMAX."""

    beta: float = float32(0, always=True)


@dataclass(frozen=True, kw_only=True)
class LeakyReluOptions(Options):
    """LEAKY_RELU."""

    alpha: float = float32(0, always=True)


@dataclass(frozen=True, kw_only=True)
class GeluOptions(Options):
    """GELU."""

    approximate: bool = boolean(0, always=True)


@dataclass(frozen=True, kw_only=True)
class CastOptions(Options):
    """CAST."""

    in_data_type: TensorType = enumeration(0, TensorType.FLOAT32, always=True)
    out_data_type: TensorType = enumeration(1, TensorType.FLOAT32, always=True)


@dataclass(frozen=True, kw_only=True)
class ReducerOptions(Options):
    """MEAN, SUM and the other reductions."""

    keep_dims: bool = boolean(0, always=True)


@dataclass(frozen=True, kw_only=True)
class ArgMaxOptions(Options):
    """ARG_MAX and ARG_MIN."""

    output_type: TensorType = enumeration(0, TensorType.FLOAT32)


@dataclass(frozen=True, kw_only=True)
class ShapeOptions(Options):
    """SHAPE."""

    out_type: TensorType = enumeration(0, TensorType.FLOAT32)


@dataclass(frozen=True, kw_only=True)
class ReshapeOptions(Options):
    """RESHAPE."""

    new_shape: tuple[int, ...] = int32_vector(0)


@dataclass(frozen=True, kw_only=True)
class SqueezeOptions(Options):
    """SQUEEZE."""

    squeeze_dims: tuple[int, ...] = int32_vector(0)


@dataclass(frozen=True, kw_only=True)
class ConcatenationOptions(Options):
    """CONCATENATION."""

    axis: int = int32(0, always=True)
    fused_activation_function: Activation = enumeration(1, Activation.NONE)


@dataclass(frozen=True, kw_only=True)
class SplitOptions(Options):
    """SPLIT and SPLIT_V."""

    num_splits: int = int32(0)


@dataclass(frozen=True, kw_only=True)
class StridedSliceOptions(Options):
    """STRIDED_SLICE; each mask has a bit for each axis."""

    begin_mask: int = int32(0)
    end_mask: int = int32(1)
    ellipsis_mask: int = int32(2)
    new_axis_mask: int = int32(3)
    shrink_axis_mask: int = int32(4)
    offset: bool = boolean(5)


@dataclass(frozen=True, kw_only=True)
class GatherOptions(Options):
    """GATHER."""

    axis: int = int32(0, always=True)
    batch_dims: int = int32(1)


@dataclass(frozen=True, kw_only=True)
class MirrorPadOptions(Options):
    """MIRROR_PAD."""

    mode: MirrorPadMode = enumeration(0, MirrorPadMode.REFLECT)


@dataclass(frozen=True, kw_only=True)
class PackOptions(Options):
    """PACK."""

    values_count: int = int32(0)
    axis: int = int32(1)


@dataclass(frozen=True, kw_only=True)
class UnpackOptions(Options):
    """UNPACK."""

    num: int = int32(0)
    axis: int = int32(1)


@dataclass(frozen=True, kw_only=True)
class BlockOptions(Options):
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH."""

    block_size: int = int32(0)


@dataclass(frozen=True, kw_only=True)
class ResizeBilinearOptions(Options):
    """RESIZE_BILINEAR; the slots 0 and 1 are deprecated."""

    align_corners: bool = boolean(2, always=True)
    half_pixel_centers: bool = boolean(3, always=True)


@dataclass(frozen=True, kw_only=True)
class ResizeNearestNeighborOptions(Options):
    """RESIZE_NEAREST_NEIGHBOR."""

    align_corners: bool = boolean(0)
    half_pixel_centers: bool = boolean(1)


@dataclass(frozen=True, kw_only=True)
class BatchMatMulOptions(Options):
    """BATCH_MATMUL."""

    adj_x: bool = boolean(0)
    adj_y: bool = boolean(1)
    asymmetric_quantize_inputs: bool = boolean(2)


@dataclass(frozen=True, kw_only=True)
class RandomOptions(Options):
    """RANDOM_UNIFORM; interpreters choose the seeds if both are 0."""

    seed: int = int64(0, always=True)
    seed2: int = int64(1, always=True)

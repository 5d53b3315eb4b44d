"""Writes tests/data/lce: networks from LCE's own converter, and what LCE's interpreter gives.

    TF_USE_LEGACY_KERAS=1 python tests/data/make_lce_files.py

It needs an environment of its own, with Python 3.11:

    pip install tensorflow-cpu==2.16.2 larq==0.13.3 larq-compute-engine==0.16.0 'numpy<2'
    pip install --no-deps tf-keras==2.16.0

Each network is one kind of block of larq-zoo, small and with random weights. NAME.tflite is what
the converter wrote. NAME.npz holds `images`, the outputs `output.0` and so on, and every packed
tensor between them as `packed.` and its name. They are LCE's reference kernel's: the fast ones
correct zero padding behind a rounding, and so differ in the last bits.
"""

# mypy: ignore-errors
# Keras and larq have no types, and are not there where mypy runs.

import os
from collections.abc import Callable
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import flatbuffers
import larq as lq
import larq_compute_engine as lce
import numpy as np
import tensorflow as tf
from larq_compute_engine.mlir.python import tflite_schema as schema
from larq_compute_engine.tflite.python import interpreter_wrapper_lite as wrapper

FOLDER = Path(__file__).parent / "lce"
IMAGES = 2
keras = tf.keras
layers = keras.layers


def conv(channels, size=3, *, pad=0.0, activation=None, kernel="ste_sign", **options):
    return lq.layers.QuantConv2D(
        channels,
        size,
        input_quantizer="ste_sign",
        kernel_quantizer=kernel,
        kernel_constraint="weight_clip",
        padding=options.pop("padding", "same"),
        pad_values=pad,
        use_bias=False,
        activation=activation,
        **options,
    )


def norm(x, **options):
    return layers.BatchNormalization(**options)(x)


def stem(x, channels=32, size=3, strides=1):
    x = layers.Conv2D(channels, size, strides=strides, padding="same", use_bias=False)(x)
    return norm(x)


def head(x):
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return layers.Softmax()(layers.Dense(10)(x))


def quicknet(x):
    """One-padded, ReLU before the batch norm; blurred pooling between sections."""
    x = layers.ReLU()(stem(x, 8, strides=2))
    x = layers.DepthwiseConv2D(3, padding="same", strides=2, use_bias=False)(x)
    x = norm(layers.Conv2D(32, 1, use_bias=False)(norm(x)))
    for channels in (32, 64):
        if channels != x.shape[-1]:
            x = layers.MaxPool2D(3, strides=1)(layers.ReLU()(x))
            x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
            x = norm(layers.Conv2D(channels, 1, use_bias=False)(x))
        for _ in range(2):
            x = layers.add([norm(conv(channels, pad=1.0, activation="relu")(x)), x])
    return head(x)


def birealnet(x):
    """Zero-padded; a shortcut of average pooling and a float convolution."""
    x = layers.MaxPool2D(3, strides=2, padding="same")(stem(x, 32, 7, 2))
    for channels in (32, 32, 64):
        strides, shortcut = channels // x.shape[-1], x
        if strides == 2:
            shortcut = layers.AvgPool2D(2, strides=2, padding="same")(shortcut)
            shortcut = norm(layers.Conv2D(channels, 1, use_bias=False)(shortcut))
        x = layers.add([norm(conv(channels, strides=strides)(x)), shortcut])
    return head(x)


def real_to_binary(x):
    """Gates from the input scale what a binary convolution gives; PReLU."""
    x = stem(x)
    for _ in range(2):
        gate = layers.GlobalAveragePooling2D()(x)
        gate = layers.Dense(4, activation="relu", use_bias=False)(gate)
        gate = layers.Dense(32, activation="sigmoid", use_bias=False)(gate)
        y = layers.multiply([conv(32)(norm(x)), layers.Reshape((1, 1, 32))(gate)])
        x = layers.add([layers.PReLU(shared_axes=[1, 2])(y), x])
    return head(x)


def densenet(x):
    """Concatenation, dilation, a batch norm before each sign."""
    x = stem(x)
    for dilation in (1, 2):
        y = conv(32, dilation_rate=dilation)(norm(x))
        x = layers.concatenate([x, y])
    x = layers.Conv2D(32, 1, use_bias=False)(layers.ReLU()(norm(layers.MaxPool2D()(x))))
    return head(x)


def meliusnet(x):
    """A grouped float stem, dense and improvement blocks."""
    x = stem(x, 16)
    x = norm(layers.Conv2D(32, 3, padding="same", groups=4, use_bias=False)(x))
    x = layers.concatenate([x, conv(32)(norm(x))])
    y = conv(32)(norm(x))
    y = layers.Lambda(lambda t: tf.pad(t, [[0, 0], [0, 0], [0, 0], [32, 0]]))(y)
    return head(layers.add([x, y]))


def alexnet(x):
    """Pooling before the batch norm, a flattened map, binary dense layers."""
    x = norm(layers.MaxPool2D(3, strides=2)(layers.Conv2D(32, 5, padding="same")(x)))
    x = norm(layers.MaxPool2D(2)(conv(64, 5, pad=1.0)(x)))
    x = layers.Flatten()(norm(conv(32, pad=1.0)(x)))
    for units in (16, 10):
        dense = lq.layers.QuantDense(
            units, input_quantizer="ste_sign", kernel_quantizer="ste_sign", use_bias=False
        )
        x = norm(dense(x))
    return layers.Softmax()(x)


def xnornet(x):
    """Weights with a scale for each channel, activations behind the batch norm."""
    x = layers.ReLU()(stem(x, 32, 5, 2))
    x = layers.MaxPool2D(2)(layers.ReLU()(conv(64, kernel="magnitude_aware_sign")(norm(x))))
    return head(conv(32, kernel="magnitude_aware_sign", padding="valid")(norm(x)))


def packed(x):
    """Thresholds, of batch norms with either sign, and pooled signs."""
    x = stem(x)
    for channels, strides in ((40, 1), (64, 2), (33, 1)):
        x = norm(conv(channels, pad=1.0, strides=strides)(x))
    x = norm(layers.MaxPool2D(3, strides=2, padding="same")(conv(32, pad=1.0)(x)), scale=False)
    x = norm(conv(32, (2, 3), padding="valid")(x))
    return norm(conv(7, 1, padding="valid")(x))


def activations(x):
    """Each fused activation, rectangular strides and windows."""
    x = stem(x)
    for activation in ("relu", "relu6", lambda t: tf.clip_by_value(t, -1.0, 1.0)):
        x = norm(conv(32, (3, 2), pad=1.0, activation=activation)(x))
    return norm(conv(48, (1, 3), padding="valid", strides=(1, 1), dilation_rate=2)(x))


def groups(x):
    """Binary convolutions with groups: float32 and packed outputs."""
    x = stem(x, 64)
    for _ in range(2):
        x = norm(conv(128, pad=1.0, groups=2)(x))
        x = norm(conv(64, padding="valid", groups=2)(x))
    return x


FLOAT: dict[str, Callable] = {
    f.__name__: f
    for f in (
        quicknet,
        birealnet,
        real_to_binary,
        densenet,
        meliusnet,
        alexnet,
        xnornet,
        packed,
        activations,
        groups,
    )
}
INT8 = FLOAT.keys() - {"alexnet", "groups"}
"""Written with int8 tensors too; those that are left out are large, and show nothing new."""


def model_of(build: Callable, shape: tuple[int, int, int]) -> keras.Model:
    """A network with random weights, and batch norms of either sign that have seen numbers."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    image = layers.Input(shape)
    model = keras.Model(image, build(image))
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                random = rng.normal(size=weight.shape)
                if "variance" in weight.name:
                    random = rng.uniform(20, 60, weight.shape)
                weight.assign(random)
        elif isinstance(layer, layers.PReLU):
            layer.alpha.assign(rng.uniform(0, 0.5, layer.alpha.shape))
    return model


def traced(content: bytes) -> tuple[bytes, list[str], int]:
    """The file with all packed tensors as outputs too, their names, and how many it had."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    graph = model.subgraphs[0]
    inner = [
        int(place)
        for operator in graph.operators
        if (model.operatorCodes[operator.opcodeIndex].customCode or b"").startswith(b"Lce")
        for place in operator.outputs
        if graph.tensors[place].type == schema.TensorType.INT32
    ]
    own = [int(place) for place in graph.outputs]
    graph.outputs = own + inner
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output()), [graph.tensors[i].name.decode() for i in inner], len(own)


def write(name: str, content: bytes, images: np.ndarray) -> None:
    with_inner, inner, own = traced(content)
    interpreter = wrapper.LiteInterpreter(with_inner, 1, True, False, False)
    results = [interpreter.predict([image[None]]) for image in images]
    arrays = [np.concatenate(parts) for parts in zip(*results, strict=True)]
    keys = [f"output.{i}" for i in range(own)] + [f"packed.{n}" for n in inner]
    (FOLDER / f"{name}.tflite").write_bytes(content)
    stored = dict(zip(keys, arrays, strict=True))
    np.savez_compressed(FOLDER / f"{name}.npz", images=images, **stored)
    print(name, len(content), {key: array.shape for key, array in stored.items()})


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(IMAGES, 20, 20, 3)).astype(np.float32)
    for name, build in FLOAT.items():
        model = model_of(build, images.shape[1:])
        write(name, lce.convert_keras_model(model), images)
        if name in INT8:
            content = lce.convert_keras_model(
                model,
                inference_input_type=tf.int8,
                inference_output_type=tf.int8,
                experimental_default_int8_range=(-4.0, 4.0),
            )
            write(f"{name}_int8", content, rng.integers(-128, 128, images.shape, np.int8))


if __name__ == "__main__":
    main()

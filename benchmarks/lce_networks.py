"""Writes networks with LCE's converter: `python benchmarks/lce_networks.py FOLDER`.

quicknet.tflite and birealnet18.tflite, at 224x224 with 1000 classes and random weights, have the
layers of QuickNet and of Bi-Real Net 18 in larq-zoo. The environment is that of
tests/data/make_lce_files.py. benchmarks/lce_latency.py measures them.
"""

# mypy: ignore-errors
# Keras and larq have no types, and are not installed where mypy runs.

import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import larq as lq
import larq_compute_engine as lce
import tensorflow as tf

keras = tf.keras
layers = keras.layers


def conv(x, channels, *, strides=1, pad=0.0, activation=None):
    layer = lq.layers.QuantConv2D(
        channels,
        3,
        strides=strides,
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
        padding="same",
        pad_values=pad,
        use_bias=False,
        activation=activation,
    )
    return layers.BatchNormalization()(layer(x))


def float_conv(x, channels, size, strides=1):
    x = layers.Conv2D(channels, size, strides=strides, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)


def head(x):
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return layers.Softmax()(layers.Dense(1000)(x))


def quicknet(x):
    """Bannink et al., Larq Compute Engine, MLSys 2021, section 4."""
    x = layers.ReLU()(float_conv(x, 16, 3, 2))
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
    x = float_conv(layers.BatchNormalization()(x), 64, 1)
    for section, channels in enumerate((64, 128, 256, 512)):
        if section:
            x = layers.MaxPool2D(3, strides=1, padding="same")(layers.ReLU()(x))
            x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
            x = float_conv(x, channels, 1)
        for _ in range(4):
            x = layers.add([conv(x, channels, pad=1.0, activation="relu"), x])
    return head(x)


def birealnet18(x):
    """Liu et al., Bi-Real Net, ECCV 2018."""
    x = layers.MaxPool2D(3, strides=2, padding="same")(float_conv(x, 64, 7, 2))
    for channels in (64, 128, 256, 512):
        for _ in range(4):
            shortcut, strides = x, channels // x.shape[-1]
            if strides == 2:
                shortcut = layers.AvgPool2D(2, strides=2, padding="same")(shortcut)
                shortcut = float_conv(shortcut, channels, 1)
            x = layers.add([conv(x, channels, strides=strides), shortcut])
    return head(x)


def main() -> None:
    folder = Path(sys.argv[1])
    for build in (quicknet, birealnet18):
        keras.utils.set_random_seed(0)
        image = layers.Input((224, 224, 3))
        content = lce.convert_keras_model(keras.Model(image, build(image)))
        (folder / f"{build.__name__}.tflite").write_bytes(content)


if __name__ == "__main__":
    main()

"""Train a binary network with Larq on digits and write it with LCE's converter; bnnkit runs it.

python3.11 -m venv larq && . larq/bin/activate
pip install tensorflow-cpu==2.16.2 larq==0.13.3 larq-compute-engine==0.16.0 'numpy<2' scikit-learn
pip install --no-deps tf-keras==2.16.0
TF_USE_LEGACY_KERAS=1 python examples/convert/from_larq.py digits.tflite

Then, where bnnkit is: bnnkit run digits.tflite images.npy -o scores.npy

Needs nothing of bnnkit. Writes the test images and their labels beside the file, as .npz.
"""

# mypy: ignore-errors
# Keras and larq have no types, and are not there where mypy runs.

import sys
from pathlib import Path

import larq as lq
import larq_compute_engine as lce
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

layers = tf.keras.layers


def binary(channels, **options):
    return lq.layers.QuantConv2D(
        channels,
        3,
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
        use_bias=False,
        **options,
    )


def network():
    return tf.keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            *(layers.Conv2D(32, 3, padding="same"), layers.BatchNormalization()),
            *(binary(64, padding="same", pad_values=1.0), layers.BatchNormalization()),
            layers.MaxPool2D(2),
            *(binary(64, padding="same", pad_values=1.0), layers.BatchNormalization()),
            *(layers.GlobalAveragePooling2D(), layers.Dense(10)),
        ]
    )


def main():
    path = Path(sys.argv[1])
    tf.keras.utils.set_random_seed(0)
    pixels = (load_digits().images[..., None] / 16).astype(np.float32)
    split = train_test_split(pixels, load_digits().target, test_size=0.2, random_state=0)
    x_train, x_test, y_train, y_test = split
    model = network()
    model.compile(
        tf.keras.optimizers.Adam(0.003),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(x_train, y_train, batch_size=64, epochs=20, verbose=0)
    print(f"accuracy in Larq: {model.evaluate(x_test, y_test, verbose=0)[1]:.3f}")
    path.write_bytes(lce.convert_keras_model(model))
    np.savez_compressed(path.with_suffix(".npz"), images=x_test, labels=y_test)


if __name__ == "__main__":
    main()

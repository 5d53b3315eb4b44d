"""The exported network in Python without bnnkit: ctypes, from the standard library alone.

python from_python.py LIBRARY IMAGE.pgm ...

LIBRARY is build/network/libmnist.so, on macOS libmnist.dylib.
"""

import ctypes
import sys
from pathlib import Path

SIDE, CLASSES = 28, 10


def main() -> None:
    library, paths = ctypes.CDLL(str(Path(sys.argv[1]).resolve())), sys.argv[2:]
    probabilities = (ctypes.c_float * CLASSES)()
    for path in paths:
        content = Path(path).read_bytes()
        header, pixels = content[: -SIDE * SIDE], content[-SIDE * SIDE :]
        if header.split() != [b"P5", b"28", b"28", b"255"]:
            sys.exit(f"{path}: expected a binary PGM image of 28 x 28 pixels")
        # The arguments are the image, the result, the number of samples, and the seed.
        library.mnist_predict(pixels, probabilities, ctypes.c_uint32(0), ctypes.c_uint64(0))
        best = max(range(CLASSES), key=probabilities.__getitem__)
        print(f"{path} {best} {probabilities[best]:.9g}")


if __name__ == "__main__":
    main()

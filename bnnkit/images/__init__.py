"""Image files as inputs of a network: what a file's metadata say of them, reading, fitting."""

from bnnkit.images.preprocessing import Preprocessing

__all__ = ["Preprocessing"]

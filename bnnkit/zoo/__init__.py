"""Trained networks that come with the package, and their catalogue."""

from bnnkit.zoo.catalogue import ZooModel, located, zoo

__all__ = ["ZooModel", "located", "zoo"]

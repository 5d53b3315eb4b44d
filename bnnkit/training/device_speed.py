"""The speed of a run as a share of the largest speed measured on its device."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

_SIZE: Final = 8192
_WARMUPS, _PRODUCTS = 5, 20


@dataclass(frozen=True, kw_only=True)
class DeviceSpeed:
    """What a training costs, and what the devices can do.

    Attributes:
        device: The name of the device.
        devices: The number of devices.
        peak: Floating-point operations per second of one device, in bfloat16 matrix products of
            8192 x 8192 random numbers, measured.
        operations: Floating-point operations of the forward and backward pass of one example, in
            matrix products and convolutions; a multiplication and an addition are two.
    """

    device: str
    devices: int
    peak: float
    operations: float

    def share(self, images_per_second: float) -> float:
        """Return the speed of a training as a share of the peak of all devices."""
        return images_per_second * self.operations / (self.peak * self.devices)

    def __str__(self) -> str:
        return (
            f"{self.device}: {self.peak / 1e12:.0f} TFLOP/s measured in bfloat16; training takes "
            f"{self.operations / 1e9:.3g} GFLOP per example"
        )


def measure_speed(network: nn.Module, examples: Tensor, devices: int) -> DeviceSpeed | None:
    """Measure the peak of a GPU and count the operations of a training step; takes 0.1 s.

    Args:
        network: The network on its device, not compiled; it is not changed.
        examples: Inputs of a batch, (B, ...), B at least 2, on that device.
        devices: The number of devices that train.

    Returns:
        The speed; None on a CPU, which has no such peak.
    """
    if examples.device.type != "cuda":
        return None
    return DeviceSpeed(
        device=torch.cuda.get_device_name(examples.device),
        devices=devices,
        peak=_peak(examples.device),
        operations=training_operations(network, examples) / len(examples),
    )


def training_operations(network: nn.Module, examples: Tensor) -> int:
    """Count the floating-point operations of a forward and backward pass, as torch counts them.

    Args:
        network: The network; a copy of it is run, in training mode.
        examples: Inputs, (B, ...), B at least 2.

    Returns:
        The operations of matrix products and convolutions, for all B examples.
    """
    copied, device = deepcopy(network).train(), examples.device
    generators = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(generators), FlopCounterMode(display=False) as counter:
        outputs: Any = copied(examples)
        outputs.float().sum().backward()
    return int(counter.get_total_flops())


def _peak(device: torch.device) -> float:
    generator = torch.Generator(device).manual_seed(0)
    a, b = (torch.randn(_SIZE, _SIZE, device=device, generator=generator).bfloat16() for _ in "ab")
    c = torch.empty_like(a)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in "se")  # type: ignore[no-untyped-call]
    for number in range(_WARMUPS + _PRODUCTS):
        if number == _WARMUPS:
            start.record()
        torch.mm(a, b, out=c)
    end.record()
    end.synchronize()
    seconds: float = start.elapsed_time(end) / 1e3
    return _PRODUCTS * 2 * _SIZE**3 / seconds

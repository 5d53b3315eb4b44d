"""Make the networks of tests/test_convert_brevitas.py with Brevitas and QONNX, not with bnnkit.

    python -m venv /path/of/its/own && . /path/of/its/own/bin/activate
    pip install torch==2.13.0 brevitas==0.13.4 qonnx==1.0.0 onnx==1.19.1 onnxoptimizer==0.4.2 \
        onnxscript==0.7.2
    python tests/brevitas_files.py tests/data/brevitas           # the small ones, stored here
    python tests/brevitas_files.py --large FOLDER                # full-size, for BNNKIT_BREVITAS

(A newer onnx writes an IR version that QONNX's onnxruntime refuses.) Each network, from both of
torch's exporters, raw and cleaned by QONNX, is NETWORK.EXPORTER[_clean].onnx.gz; NETWORK.npz holds
images and what QONNX's executor gives for them. Weights are random multiples of 1/4, zeros among
them, so that the files compress; batch norms have negative scales, and some are 0 at an integer.
"""

import gzip
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import brevitas.nn as qnn  # type: ignore[import-not-found]
import numpy as np
import onnx
import torch
from brevitas.export import export_qonnx  # type: ignore[import-not-found]
from brevitas.quant import binary  # type: ignore[import-not-found]
from brevitas_examples.bnn_pynq import models  # type: ignore[import-not-found]
from brevitas_examples.bnn_pynq.models import CNV  # type: ignore[import-not-found]
from qonnx.core.modelwrapper import ModelWrapper  # type: ignore[import-not-found]
from qonnx.core.onnx_exec import execute_onnx  # type: ignore[import-not-found]
from qonnx.util.cleanup import cleanup_model  # type: ignore[import-not-found]
from torch import nn

N_IMAGES = 32
DIGIT, PHOTO = (1, 28, 28), (3, 32, 32)
LARGE = {"tfc_1w1a": DIGIT, "lfc_1w1a": DIGIT, "cnv_1w1a": PHOTO}


class TenthWeight(binary.SignedBinaryWeightPerTensorConst):  # type: ignore[misc]
    scaling_const = 0.1


class ScaledActivation(binary.SignedBinaryActPerTensorConst):  # type: ignore[misc]
    min_val = -0.3
    max_val = 0.3


def small() -> Iterator[tuple[str, nn.Module, tuple[int, ...]]]:
    yield "tfc_1w1a", network("tfc_1w1a"), DIGIT
    yield "tfc_1w2a", network("tfc_1w2a"), DIGIT
    yield "cnv_narrow_1w1a", narrow_cnv(), PHOTO
    yield "scaled", scaled(), (3, 12, 12)


def network(name: str) -> nn.Module:
    """One of Brevitas' own networks, untrained."""
    model: nn.Module = models.model_with_cfg(name, pretrained=False)[0]
    return model


def narrow_cnv() -> nn.Module:
    """CNV with an eighth of its channels."""
    CNV.CNV_OUT_CH_POOL = [(channels // 8, pools) for channels, pools in CNV.CNV_OUT_CH_POOL]
    CNV.INTERMEDIATE_FC_FEATURES = [(32, 64), (64, 64)]
    CNV.LAST_FC_IN_FEATURES = 64
    return network("cnv_1w1a")


def scaled() -> nn.Module:
    """Scales that are no powers of two, zero padding, a bias, groups, a pool behind a norm."""
    sign = {"act_quant": ScaledActivation}
    weight = {"weight_quant": TenthWeight}
    return nn.Sequential(
        qnn.QuantIdentity(**sign),
        qnn.QuantConv2d(3, 24, 3, padding=1, bias=True, **weight),
        nn.BatchNorm2d(24),
        nn.MaxPool2d(2),
        qnn.QuantIdentity(**sign),
        qnn.QuantConv2d(24, 40, 3, stride=2, padding=1, groups=4, bias=False, **weight),
        nn.BatchNorm2d(40),
        qnn.QuantIdentity(**sign),
        nn.Flatten(),
        qnn.QuantLinear(360, 10, bias=True, **weight),
    )


def randomize(model: nn.Module, seed: int, *, has_zeros: bool) -> None:
    random = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            n = module.num_features
            is_zero_somewhere = torch.arange(n) % 2 == 0
            module.weight.data = torch.randn(n, generator=random)
            module.bias.data = torch.randn(n, generator=random)
            if has_zeros:  # or the rounding of scaled products would decide
                module.bias.data *= ~is_zero_somewhere
            module.running_mean = (4 * torch.randn(n, generator=random)).round()
            module.running_var = 1 + 50 * torch.rand(n, generator=random)
        elif isinstance(module, (qnn.QuantConv2d, qnn.QuantLinear)):
            shape = module.weight.shape
            module.weight.data = torch.randint(-4, 5, shape, generator=random) / 4


def export(name: str, model: nn.Module, shape: tuple[int, ...], folder: Path) -> None:
    model.eval()
    randomize(model, 1, has_zeros=name != "scaled")
    images = np.random.default_rng(0).integers(0, 256, (N_IMAGES, *shape)).astype(np.float32)
    # Zeros for the first sign of `scaled`; the others take 2 x - 1.
    images = images - 128 if name == "scaled" else images / np.float32(255)
    scores: list[Any] = []
    for exporter in ("script", "dynamo"):
        with TemporaryDirectory() as temporary:
            path = str(Path(temporary) / "m.onnx")
            is_new = exporter == "dynamo"
            export_qonnx(model, torch.rand(1, *shape), export_path=path, dynamo=is_new)
            raw = onnx.load(path)
            cleaned = cleanup_model(ModelWrapper(path))
        write(folder / f"{name}.{exporter}.onnx.gz", raw)
        write(folder / f"{name}.{exporter}_clean.onnx.gz", cleaned.model)
        scores.append(executed(cleaned, images))
    np.testing.assert_array_equal(*scores)
    np.savez_compressed(folder / f"{name}.npz", images=images, scores=scores[0])


def executed(model: Any, images: Any) -> Any:
    source, target = model.graph.input[0].name, model.graph.output[0].name
    return np.concatenate([execute_onnx(model, {source: image[None]})[target] for image in images])


def write(path: Path, model: onnx.ModelProto) -> None:
    path.write_bytes(gzip.compress(model.SerializeToString(deterministic=True), mtime=0))
    print(path, path.stat().st_size)


def main() -> None:
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    folder = Path(sys.argv[-1])
    folder.mkdir(parents=True, exist_ok=True)
    if "--large" in sys.argv:
        for name, shape in LARGE.items():
            export(name, network(name), shape, folder)
    else:
        for name, model, form in small():
            export(name, model, form, folder)


if __name__ == "__main__":
    main()

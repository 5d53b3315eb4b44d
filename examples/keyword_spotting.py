"""A binary TC-ResNet recognises sounds of a second from their mel spectrogram.

python examples/keyword_spotting.py [--steps 300] [-o keyword_spotting.onnx]
python examples/keyword_spotting.py --data-dir speech_commands_v0.02 --words yes no up down

With --data-dir, the sounds are words of Google's Speech Commands: a folder for each word, with
16 kHz .wav files, and testing_list.txt. Without it they are synthetic, because no speech comes
with bnnkit: whistles that rise, fall, or turn; trills; sirens; and two tones at once, each of
random pitch, speed and loudness in noise. The features are computed as for speech: the logarithm
of the energy in 40 mel bands, of frames of 30 ms every 10 ms.

The script trains, exports, checks that ONNX Runtime finds the same classes, prints the accuracy,
and measures the latency of one second of sound.
"""

import argparse
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from bnnkit.export import export_onnx
from bnnkit.models import build
from bnnkit.runtime import load as load_model

RATE, BANDS, FRAME, STEP = 16_000, 40, 480, 160
SOUNDS = ("rise", "fall", "rise-fall", "fall-rise", "trill", "siren", "two tones", "silence")
Sounds = tuple[Tensor, Tensor]
"""Waveforms, float32 (N, RATE), and their classes, int64 (N,)."""


def synthetic(n: int, seed: int) -> Sounds:
    """Make sounds of the classes `SOUNDS`, in noise."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.linspace(0, 1, RATE)
    y = torch.randint(len(SOUNDS), (n,), generator=generator)
    low, span, speed, loud = torch.rand(4, n, 1, generator=generator)
    turn = (2 * t - 1).abs()  # from 1 down to 0 and back
    slow, fast = 2 + 2 * speed, 8 + 8 * speed  # Hz
    shapes = {
        "rise": t.expand(n, -1),
        "fall": 1 - t.expand(n, -1),
        "rise-fall": 1 - turn.expand(n, -1),
        "fall-rise": turn.expand(n, -1),
        "trill": 0.5 + 0.2 * torch.sin(2 * torch.pi * fast * t).sign(),
        "siren": 0.5 + 0.5 * torch.sin(2 * torch.pi * slow * t),
        "two tones": torch.zeros(n, RATE),
        "silence": torch.zeros(n, RATE),
    }
    chosen = torch.stack([shapes[name] for name in SOUNDS])[y, torch.arange(n)]
    pitch = 300 + 900 * low + (400 + 1200 * span) * chosen  # Hz
    phase = 2 * torch.pi * pitch.cumsum(1) / RATE
    tone = torch.sin(phase)
    tone += torch.sin(phase * 1.5) * (y == SOUNDS.index("two tones"))[:, None]
    tone *= (y != SOUNDS.index("silence"))[:, None]
    noise = torch.randn(n, RATE, generator=generator)
    return 0.05 * (0.2 + loud) * tone + 0.02 * noise, y


def speech_commands(folder: Path, words: list[str], *, is_test: bool) -> Sounds:
    """Read the words of a folder of Speech Commands, cut or padded to a second."""
    listed = set((folder / "testing_list.txt").read_text().split())
    sounds, classes = [], []
    for number, word in enumerate(words):
        for path in sorted((folder / word).glob("*.wav")):
            if (f"{word}/{path.name}" in listed) == is_test:
                sounds.append(read_wave(path))
                classes.append(number)
    return torch.stack(sounds), torch.tensor(classes)


def read_wave(path: Path) -> Tensor:
    """Read a second of a 16-bit mono file, (RATE,), from -1 to 1."""
    with wave.open(str(path)) as file:
        form = (file.getframerate(), file.getsampwidth(), file.getnchannels())
        if form != (RATE, 2, 1):
            raise SystemExit(f"expected 16 kHz, 2 bytes, mono in {path}, got {form}")
        samples = np.frombuffer(file.readframes(RATE), "<i2").astype(np.float32) / 32768
    return torch.from_numpy(np.pad(samples, (0, RATE - len(samples))))


def mel_filters() -> Tensor:
    """Return triangles that are as wide as the ear's bands, (BANDS, FRAME // 2 + 1)."""
    mel = torch.linspace(20.0, 2595 * np.log10(1 + RATE / 2 / 700), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)  # Hz
    hz = torch.linspace(0, RATE / 2, FRAME // 2 + 1)
    rising = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0)


def log_mel(sounds: Tensor) -> Tensor:
    """Return features, (N, BANDS, 98): time is the last axis, as in `Conv1d`."""
    window = torch.hann_window(FRAME)
    spectrum = torch.stft(sounds, FRAME, STEP, window=window, center=False, return_complex=True)
    return (mel_filters() @ spectrum.abs().square() + 1e-6).log()


def train(model: nn.Module, x: Tensor, y: Tensor, steps: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for batch in torch.randint(len(x), (steps, 64)):
        optimizer.zero_grad()
        loss: Any = nn.functional.cross_entropy(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        schedule.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="the folder of Speech Commands")
    parser.add_argument("--words", nargs="+", default=["yes", "no", "up", "down"])
    parser.add_argument("--sounds", type=int, default=2000, help="synthetic ones, for training")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("-o", "--output", default="keyword_spotting.onnx")
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.data_dir is None:
        classes: tuple[str, ...] = SOUNDS
        (sounds, y), (test_sounds, y_test) = synthetic(options.sounds, 1), synthetic(500, 2)
    else:
        classes = tuple(options.words)
        (sounds, y), (test_sounds, y_test) = (
            speech_commands(options.data_dir, options.words, is_test=is_test)
            for is_test in (False, True)
        )
    x, x_test = log_mel(sounds), log_mel(test_sounds)
    mean, std = x.mean(), x.std()  # one of each for all bands: a gain is no other word
    x, x_test = (x - mean) / std, (x_test - mean) / std

    # Sequences are (N, C, T). The first and the last layer are real; all others are binary.
    model = build(
        "tc-resnet",
        input_shape=x.shape[1:],
        n_classes=len(classes),
        zero_point=None,
        width=options.width,
    )
    train(model, x, y, options.steps)

    # Trained with noise, deployed without: batch norms are re-estimated in that mode.
    report = export_onnx(model, x[:1], options.output, mode="deterministic", calibrate=x[:500])
    binary = [layer for layer in report.layers if layer.kind == "binary"]
    print(f"{len(binary)} of {len(report.layers)} layers are binary, {report.file_bytes:,} bytes")

    features = x_test.numpy()
    network = load_model(options.output)
    found = np.argmax(network.run(features), 1)
    session = onnxruntime.InferenceSession(options.output)  # nothing of bnnkit in it
    (stock,) = session.run(None, {session.get_inputs()[0].name: features})
    print("sounds with another class in ONNX Runtime:", int((stock.argmax(1) != found).sum()))
    for number, name in enumerate(classes):
        of_class = y_test.numpy() == number
        print(f"{name:10} {(found == number)[of_class].mean():.3f}")
    print(f"test accuracy {(found == y_test.numpy()).mean():.3f}")

    one, times = features[:1], []
    for _ in range(200):
        start = time.perf_counter()
        network.run(one)
        times.append(time.perf_counter() - start)
    print(f"a second of sound takes {np.median(times) * 1e6:.0f} microseconds")


if __name__ == "__main__":
    main()

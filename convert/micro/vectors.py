"""Test vectors for firmware: frames with their meaning, damaged streams, and an ECG segment with the model's input.

``python -m convert.micro.vectors --out firmware_bridge/c/vectors`` writes them as text and as a C header. The same
code always writes the same bytes, and a test compares them with the files in the repository.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.micro import c_source as c
from edge.frontend.stream import WINDOW_SAMPLES, StreamFilter, window_input_int8
from edge.process.files import write_files
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.wire.framing import BODY_MAX, FrameDecoder, FrameError, encode_frame
from firmware_bridge.wire.messages import (
    Ack,
    AckCode,
    Data,
    EstimateReason,
    Flags,
    Header,
    HeadState,
    Hello,
    HelloRequest,
    HelloTag,
    Message,
    MessageType,
    PatchEstimate,
    PatchModel,
    Resend,
    SampleFormat,
    Start,
    Status,
    Stop,
    encode,
)

GRID_HZ = 250
SEED = 7
COUNTS_PER_MV = 400.0
"""Counts per millivolt: 2.5 microvolts per count, as in common converters."""
BITS = 16
COMMAND = "python -m convert.micro.vectors --out firmware_bridge/c/vectors"
TEXTS = {HelloTag.KIND: "patch", HelloTag.DEVICE_ID: "0001", HelloTag.FIRMWARE: "1.0", HelloTag.LEAD: "II"}

SCORES = ((-150_000, HeadState.DECIDED), (98_304, HeadState.DECIDED | HeadState.FLAG), (65_536, HeadState.NONE))
"""Scores of -2.3, 1.5 and 1, the second of which raises a flag."""
ENDS = ((-(1 << 31), HeadState(0xFF)), ((1 << 31) - 1, HeadState.NONE))


def messages() -> dict[str, tuple[Header, Message]]:
    """Return messages of every type and both directions, with the extreme values of their fields."""
    plain, full = Header(), Header(flags=Flags(0xFF), seq=0xFFFF, tick=0xFFFFFFFF)
    ramp = np.arange(25, dtype=np.int32) * 100 - 1200
    ends16 = np.array([-32_768, 32_767, 0, -1, 1], np.int32)
    ends24 = np.array([-8_388_608, 8_388_607, 0, -1, 1], np.int32)
    big = Hello(0xFFFFFFFF, 1_000_000, 2000, 3, 2_420_000_000, 50_331_642, 50, 100_000, 0xFFFFFFFF, 24)
    return {
        "hello_small": (plain, Hello(1, 32_768, 250)),
        "hello_texts": (Header(seq=1, tick=5), Hello(0x12345678, 32_768, 250, nv_num=1000, texts=TEXTS)),
        "hello_ring": (full, replace(big, ring_samples=15_000)),
        "hello_model": (plain, replace(big, model=PatchModel(bytes(range(248, 256)), 12, 10, samples=False))),
        "data_int16": (Header(seq=2, tick=3277), Data(0, 0x78, ramp)),
        "data_int16_ends": (full, Data(0xFFFFFFFF, 0xFF, ends16)),
        "data_int16_longest": (plain, Data(7, 0, np.zeros(117, np.int32))),
        "data_int24_ends": (Header(flags=Flags.LEAD_OFF), Data(256, 1, ends24, SampleFormat.INT24)),
        "data_int24_longest": (plain, Data(7, 0, np.full(78, -1, np.int32), SampleFormat.INT24)),
        "data_resent": (Header(flags=Flags.RESENT, seq=9, tick=11), Data(25, 0x78, ramp)),
        "status": (Header(seq=3, tick=4), Status(80, 3900, 2, 1000)),
        "status_unknown": (full, Status(None, 0xFFFF, 0xFFFFFFFF, 0)),
        "ack_ok": (plain, Ack(MessageType.START, AckCode.OK)),
        "ack_refused": (plain, Ack(MessageType.RESEND, AckCode.UNSUPPORTED, 0xFFFF)),
        "ack_resend": (plain, Ack(MessageType.RESEND, AckCode.OK, index=0x01000000)),
        "estimate": (Header(seq=4, tick=5), PatchEstimate(2500, 0x78, windows=30, heads=SCORES)),
        "estimate_ends": (full, PatchEstimate(0xFFFFFFFF, 0xFF, windows=0xFFFF, first=46, heads=ENDS)),
        "estimate_abstained": (plain, PatchEstimate(250, 1, EstimateReason.POOR_SIGNAL)),
        "hello_request": (plain, HelloRequest()),
        "start": (plain, Start()),
        "start_estimates": (plain, Start(2)),
        "stop": (plain, Stop()),
        "resend": (plain, Resend(0xFFFFFF00, 512)),
    }


def streams() -> dict[str, bytes]:
    """Return byte streams that contain more than valid frames."""
    frame = encode(Start())
    flipped = bytearray(frame)
    flipped[4] ^= 0x10
    return {
        "boot_text": b"rst:0x1 (POWERON)\r\n\x00" + frame,
        "bit_flipped": bytes(flipped) + frame,
        "half_frame": frame[:5] + b"\x00" + frame,
        "empty_frames": b"\x00\x00\x00" + frame + b"\x00",
        "too_long": b"x" * 255 + b"\x00" + frame,
        "longest_text": b"x" * 254 + b"\x00" + frame,
        "no_delimiter": b"U" * 5000 + b"\x00" + frame,
        "code_past_end": b"\x09abc\x00" + frame,
        "zeros_of_zeros": encode_frame(bytes(BODY_MAX)) + frame,
    }


def events(stream: bytes) -> list[str]:
    """Return the events of a receiver: ``body:HEX``, or the fault and the number of discarded bytes."""
    return [
        f"{item.fault}:{item.size}" if isinstance(item, FrameError) else f"body:{item.hex()}"
        for item in FrameDecoder().feed(stream)
    ]


def ecg() -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Return counts at 250 Hz, just long enough for one window, and the model's input for them."""
    filter_ = StreamFilter(GRID_HZ)
    n = filter_.warmup_samples + 1 + 2 * (WINDOW_SAMPLES - 1)
    t = np.arange(n) / GRID_HZ
    mv = np.asarray(EcgSynth(EcgParams(), SEED).generate(n, float(GRID_HZ)), dtype=np.float64)
    mv = mv + 0.4 * np.sin(2 * np.pi * 0.2 * t) + 0.05 * np.sin(2 * np.pi * 50.0 * t)
    counts = np.rint(mv * COUNTS_PER_MV).astype(np.int32)
    return counts, window_input_int8(filter_.push(counts.astype(np.float64)))


def in_words(message: Message) -> str:
    """Return name and fields of a message as text."""
    words = []
    for f in fields(message):
        value = getattr(message, f.name)
        if isinstance(value, np.ndarray):
            words.append(f"{f.name}={','.join(map(str, value.tolist()))}")
        elif isinstance(value, PatchModel):
            silent = 0 if value.samples else 1
            words.append(f"model={value.identity.hex()},{value.heads},{value.hop_s},{silent}")
        elif f.name == "heads":
            words.append(f"heads={' '.join(f'{score},{int(state)}' for score, state in value)}".replace(" ", ";"))
        elif f.name == "texts":
            words += [f"{tag.name.lower()}={text}" for tag, text in value.items()]
        elif value is not None:
            words.append(f"{f.name}={int(value)}")
    return " ".join([type(message).__name__, *words])


def files() -> dict[str, str]:
    """Return the contents of all files by name."""
    counts, window = ecg()
    note = f"Generated by {COMMAND}; do not edit."
    frames = {name: (encode(m, h), h, m) for name, (h, m) in messages().items()}
    frame_lines = [
        f"{name}\t{wire.hex()}\tflags={int(h.flags)} seq={h.seq} tick={h.tick} {in_words(m)}"
        for name, (wire, h, m) in frames.items()
    ]
    stream_lines = [f"{name}\t{data.hex()}\t{' '.join(events(data))}" for name, data in streams().items()]
    numbers = (" ".join(map(str, row.tolist())) for row in (counts, window))
    return {
        "frames.txt": "\n".join([f"# {note}", "# name, bytes on the wire, meaning; tabs between", *frame_lines, ""]),
        "streams.txt": "\n".join([f"# {note}", "# name, bytes received, what a receiver says", *stream_lines, ""]),
        "frontend.txt": "\n".join(
            [f"# {note}", f"# counts at {GRID_HZ} Hz, then the model's input for them, +-1", *numbers, ""]
        ),
        "anyecg_vectors.h": _header(note, {name: wire for name, (wire, _h, _m) in frames.items()}, counts, window),
    }


def _header(note: str, frames: dict[str, bytes], counts: NDArray[np.int32], window: NDArray[np.int8]) -> str:
    arrays = "".join(
        f"static const uint8_t vector_{name}[] = {{\n{c.byte_rows(wire)}\n}};\n" for name, wire in frames.items()
    )
    table = ",\n".join(f'  {{"{name}", vector_{name}, sizeof(vector_{name})}}' for name in frames)
    return (
        f"/* {note} */\n#ifndef ANYECG_VECTORS_H\n#define ANYECG_VECTORS_H\n\n"
        "#include <stddef.h>\n#include <stdint.h>\n\n"
        + arrays
        + "\nstatic const struct {\n  const char *name;\n  const uint8_t *wire;\n  size_t size;\n} vectors[] = {\n"
        + table
        + f"\n}};\n\n#define VECTOR_GRID_HZ {GRID_HZ}u\n#define VECTOR_BITS {BITS}u\n"
        + f"static const int16_t vector_counts[{len(counts)}] = {{\n"
        + c.number_rows([str(v) for v in counts.tolist()], 20)
        + f"\n}};\nstatic const int8_t vector_window[{len(window)}] = {{\n"
        + c.number_rows([str(v) for v in window.tolist()], 24)
        + "\n};\n\n#endif\n"
    )


def main(arguments: list[str] | None = None) -> int:
    """Write the files."""
    parser = argparse.ArgumentParser(prog="python -m convert.micro.vectors", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="output folder; created if it is missing")
    out = parser.parse_args(arguments).out
    write_files(out, {name: text.encode() for name, text in files().items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())

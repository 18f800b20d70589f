"""Recognise the form of a file by its first bytes; say of a file that is no checkpoint what it is and what to do."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from convert.checkpoint.pickles.values import printable
from firmware_bridge.errors import InputError
from firmware_bridge.reading import open_regular

Form = Literal["zip", "legacy", "safetensors"]

MAX_FILE_BYTES = 8 << 30
"""Largest file that is read, bytes. The full teacher with the state of its optimizer has 0.4 GB."""

LEGACY_MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa85019")
"""Magic number at the start of files of PyTorch before 1.6, as a pickled integer."""

SAVE = "save its weights in PyTorch: torch.save(model.state_dict(), 'teacher.pth')"
_TAR = (
    "unpack it; or, if PyTorch 0.1 wrote it and you trust it, save it again with PyTorch: "
    "torch.save(torch.load(FILE, weights_only=False), 'teacher.pth')"
)
_AGAIN = "download it again"
_FILE = "download the file itself"
_UNPACK = "unpack it first"
_TENSORFLOW = "only .keras files that 'anyecg finetune' wrote are read; give the PyTorch checkpoint"
_TFLITE = "give the checkpoint that it was made from"

_JSON = ("a JSON file, not a checkpoint", "give a .pth or .safetensors file")

_HEAD_BYTES = 512
_MAX_JSON = 16 << 20
_ZIP = b"PK\x03\x04"
_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git-LFS pointer, not the file itself", "run: git lfs pull"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras or TensorFlow writes it", _TENSORFLOW),
    (b"model_checkpoint_path", "the index of a TensorFlow checkpoint", _TENSORFLOW),
    (b"\x1f\x8b", "compressed with gzip", _UNPACK),
    (b"BZh", "compressed with bzip2", _UNPACK),
    (b"\xfd7zXZ", "compressed with xz", _UNPACK),
    (b"(\xb5/\xfd", "compressed with zstd", _UNPACK),
    (b"7z\xbc\xaf", "a 7-Zip archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\x93NUMPY", "a NumPy array", SAVE),
)
"""First bytes of files that are no checkpoints: what such a file is, and what to do."""

_SUFFIXES: tuple[tuple[str, str, str], ...] = (
    (".onnx", "an ONNX model, not a checkpoint", SAVE),
    (".tflite", "a TFLite model, not a checkpoint", _TFLITE),
    (".pb", "a TensorFlow graph, not a checkpoint", _TENSORFLOW),
    (".index", "the index of a TensorFlow checkpoint", _TENSORFLOW),
    (".h5", "an HDF5 file, as Keras or TensorFlow writes it", _TENSORFLOW),
)
_TF_PART = re.compile(r".+\.data-\d{5}-of-\d{5}")
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}\.safetensors")
_ONNX = re.compile(rb"\x08[\x01-\x1f](?:\x12.|:)", re.DOTALL)
"""Start of an ONNX file: the version of its format, then the name of the program that wrote it, or the graph."""

_MERGE = (
    'merge its parts in its folder: python -c "import glob; from safetensors.numpy import load_file, save_file; '
    "save_file({k: v for f in glob.glob('*-of-*.safetensors') for k, v in load_file(f).items()}, 'all.safetensors')\""
)


@dataclass(frozen=True, slots=True)
class Look:
    """What the first bytes of a file show.

    Attributes:
        form: Form of the file.
        size: Size of the file, bytes.
    """

    form: Form
    size: int


def look_at(path: Path) -> Look:
    """Recognise the form of a checkpoint.

    Raises:
        InputError: The file is missing, or of a form that is not read; the message says what it is and what to do.
    """
    size, head = _head(path)
    if size == 0:
        raise InputError(f"{path} is empty", _AGAIN)
    if head.startswith(_ZIP):
        return Look("zip", size)
    if LEGACY_MAGIC in head[:32] and head[:1] == b"\x80":
        return Look("legacy", size)
    _explain_start(path, head)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < MAX_FILE_BYTES:
        if _SHARD.fullmatch(path.name):
            raise InputError(f"{path} is one part of a checkpoint in several files", _MERGE)
        return Look("safetensors", size)
    raise _explained(path, size, head)


def _head(path: Path) -> tuple[int, bytes]:
    try:
        if path.is_dir():
            explain_folder(path)
            raise InputError(f"{path} is a folder", "name a .pth or .safetensors file")
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a regular file", "name a .pth file")
        with open_regular(path) as file:
            head = file.read(_HEAD_BYTES)
            size = path.stat().st_size
    except FileNotFoundError:
        raise InputError(f"no such checkpoint: {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"not a file name: {path!s:.80} ({error})") from None
    if size > MAX_FILE_BYTES:
        raise InputError(f"{path} has {size >> 20} MB, the limit is {MAX_FILE_BYTES >> 20} MB")
    return size, head


def explain_folder(path: Path) -> None:
    """Say what to do with a folder that holds a model in another form, if it is one.

    Raises:
        InputError: It is such a folder.
    """
    if (path / "saved_model.pb").is_file():
        raise InputError(f"{path} is a TensorFlow SavedModel, not a checkpoint", _TENSORFLOW)
    if any(path.glob("*.distcp")):
        raise InputError(
            f"{path} is a distributed checkpoint in several files",
            f"merge them: python -m torch.distributed.checkpoint.format_utils dcp_to_torch {path} teacher.pth",
        )
    if any(path.glob("*.safetensors.index.json")):
        raise InputError(f"{path} is a folder with a checkpoint in several files", _MERGE)
    inside = sorted(f.name for suffix in ("pth", "pt", "ckpt", "safetensors") for f in path.glob(f"*.{suffix}"))
    if inside:
        raise InputError(f"{path} is a folder", f"give the file itself, such as {path / inside[0]}")


def _explain_start(path: Path, head: bytes) -> None:
    """Refuse a file that its first bytes or its suffix name.

    Raises:
        InputError: The file is of such a form.
    """
    for start, what, fix in _STARTS:
        if head.startswith(start):
            raise InputError(f"{path} is {what}", fix)
    if head[4:8] == b"TFL3":
        raise InputError(f"{path} is a TFLite model, not a checkpoint", _TFLITE)
    if head[257:262] == b"ustar":
        raise InputError(f"{path} is a tar archive, which is not read", _TAR)


def _explained(path: Path, size: int, head: bytes) -> InputError:
    """Return the error about a file that has no start of its own."""
    text = head.strip()
    if _ONNX.match(head):
        return InputError(f"{path} is an ONNX model, not a checkpoint", SAVE)
    if text[:1] == b"<":
        return InputError(f"{path} is a web page, not a checkpoint", _FILE)
    if text[:1] == b"{":
        what, fix = ("the index of a checkpoint in several files", _MERGE) if _is_index(path, size) else _JSON
        return InputError(f"{path} is {what}", fix)
    for suffix, what, fix in _SUFFIXES:
        if path.suffix.lower() == suffix:
            return InputError(f"{path} is {what}", fix)
    if _TF_PART.fullmatch(path.name):
        return InputError(f"{path} is a part of a TensorFlow checkpoint", _TENSORFLOW)
    if head[:1] == b"\x80":
        return InputError(
            f"{path} is a bare pickle, not a PyTorch checkpoint",
            "save it with torch.save instead of pickle.dump: torch.save(model.state_dict(), 'teacher.pth')",
        )
    if size < _HEAD_BYTES and text.isascii() and text.decode("ascii").isprintable():
        return InputError(f"{path} is a text ('{text[:60].decode('ascii')}'), not a PyTorch checkpoint", _FILE)
    return InputError(f"{path} is not a PyTorch checkpoint", "give a .pth or .safetensors file")


def _is_index(path: Path, size: int) -> bool:
    try:
        read = json.loads(path.read_bytes()) if size <= _MAX_JSON else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(read, dict) and isinstance(read.get("weight_map"), dict)


def explain_zip(path: Path, names: frozenset[str]) -> NoReturn:
    """Say what a zip is that holds no PyTorch checkpoint.

    Args:
        path: Path of the file.
        names: Names of its members.

    Raises:
        InputError: Always.
    """
    if any(n.rpartition("/")[2] in {"archive_format", "models.json"} or n.endswith("/weights/weight_0") for n in names):
        raise InputError(f"{path} is a program of torch.export, not a checkpoint", SAVE)
    inside = next((n for n in names if n.endswith((".pth", ".pt", ".ckpt", ".safetensors"))), None)
    if inside is not None:
        raise InputError(f"{path} is a zip with {printable(inside)} in it", f"{_UNPACK}, and give that file")
    if "model.weights.h5" in names:
        raise InputError(
            f"{path} is a Keras file", "give it the suffix .keras if 'anyecg finetune' wrote it; else: " + SAVE
        )
    if "manifest.json" in names:
        raise InputError(f"{path} is a bundle, not a checkpoint", "give the checkpoint that it was made from")
    if any(n.endswith(".npy") for n in names):
        raise InputError(f"{path} is a NumPy archive, not a checkpoint", SAVE)
    raise InputError(f"{path} is a zip, but not a PyTorch checkpoint (no data.pkl in it)", SAVE)

"""A signed bundle: keys, signing, every flipped byte refused, and who is trusted."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bundle import ed25519, trust
from edge.bundle.reader import Bundle, demo_bundle_path, load_bundle
from edge.bundle.signature import Signature, message, parse_signature
from edge.bundle.trust import public_line, read_trusted, require_trusted
from edge.cli.main import main
from firmware_bridge.errors import BundleError, MissingExtraError, UsageError
from helpers.edited_bundles import edit, zipped

pytest.importorskip("cryptography", reason="the 'sign' extra is not installed")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)


def make_key(folder: Path, name: str) -> Path:
    assert main(["bundle", "keygen", str(folder / name), "--name", f"{name} of a test"]) == 0
    return folder / name


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    make_key(folder, "ours")
    make_key(folder, "theirs")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_bundle_path(), tmp_path / "bundle"))


@pytest.fixture
def signed(folder: Path, keys: Path) -> Path:
    assert main(["bundle", "sign", str(folder), "--key", str(keys / "ours")]) == 0
    return folder


def valid_here(signature: Signature, manifest_sha256: str) -> bool:
    """The same check as in the child process, in this one."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(signature.public_key).verify(signature.value, message(manifest_sha256))
    except InvalidSignature:
        return False
    return True


def test_the_private_key_is_private_and_the_public_one_a_line(keys: Path) -> None:
    assert stat.S_IMODE((keys / "ours").stat().st_mode) == 0o600
    line = (keys / "ours.pub").read_text()
    assert line.count("\n") == 1
    assert line.startswith("anyecg-ed25519 ")
    assert list(read_trusted(keys / "ours.pub").values()) == ["ours of a test"]


def test_a_key_is_never_replaced(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (keys / "ours").read_bytes()
    assert main(["bundle", "keygen", str(keys / "ours")]) == 7
    assert "never replaced" in capsys.readouterr().err
    assert (keys / "ours").read_bytes() == before


def test_openssl_accepts_the_signature(signed: Path, keys: Path, tmp_path: Path) -> None:
    """Another implementation agrees about what is signed."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine")
    bundle = load_bundle(signed)
    assert bundle.signature is not None
    (tmp_path / "m").write_bytes(f"anyecg.signature/1\n{bundle.sha256}\n".encode())
    (tmp_path / "s").write_bytes(bundle.signature.value)
    command = ["openssl", "pkeyutl", "-verify", "-inkey", str(keys / "ours"), "-rawin"]
    command += ["-in", str(tmp_path / "m"), "-sigfile", str(tmp_path / "s")]
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_the_published_test_vector_is_valid_and_its_neighbours_are_not() -> None:
    """RFC 8032, 7.1, test 1, has an empty message; a signature by its key over ours comes from the library."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = Ed25519PrivateKey.from_private_bytes(secret)
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert key.public_key().public_bytes_raw() == public
    found = Signature(public, key.sign(message("ab" * 32)))
    assert ed25519.is_valid(found, "ab" * 32)
    assert not ed25519.is_valid(found, "ab" * 31 + "aa")


@pytest.mark.parametrize("form", ["folder", "zip", "zip in a folder"])
@pytest.mark.parametrize("schema", ["anyecg.bundle/1", "anyecg.bundle/2"])
def test_every_form_and_schema_is_signed_and_trusted(form: str, schema: str, folder: Path, keys: Path) -> None:
    edit(folder, lambda m: m.update(schema=schema, form="int8", golden=_golden(m)))
    place = folder if form == "folder" else zipped(folder, folder.parent / "b.zip", "b/" if "in" in form else "")
    assert main(["bundle", "sign", str(place), "--key", str(keys / "ours")]) == 0
    bundle = load_bundle(place)
    assert require_trusted(bundle, keys / "ours.pub").endswith("(ours of a test)")
    with pytest.raises(BundleError, match="is not trusted"):
        require_trusted(bundle, keys / "theirs.pub")


def _golden(manifest: dict) -> dict:  # type: ignore[type-arg]
    return {"model_sha256": manifest["files"]["model.tflite"]["sha256"], "interpreters": {}}


def test_pack_keeps_the_signature_and_signing_again_replaces_it(signed: Path, keys: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    assert main(["bundle", "pack", str(signed), str(first)]) == 0
    assert main(["bundle", "pack", str(first), str(second)]) == 0
    assert load_bundle(second).signature == load_bundle(signed).signature is not None
    assert first.read_bytes() == second.read_bytes()
    assert main(["bundle", "sign", str(first), "--key", str(keys / "theirs")]) == 0
    assert require_trusted(load_bundle(first), keys / "theirs.pub")
    assert {p.name for p in tmp_path.iterdir()} == {"a.zip", "b.zip", "bundle"}


@settings(max_examples=300)
@given(data=st.data())
def test_any_changed_byte_of_the_signature_file_is_refused(data: st.DataObject) -> None:
    pem, _ = ed25519.generate()
    whole = ed25519.sign("cd" * 32, pem, "key")
    raw = bytearray(whole.to_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        found = parse_signature(bytes(raw))
    except BundleError:
        return
    assert found != whole
    assert found.public_key != whole.public_key or not valid_here(found, "cd" * 32)


def test_every_flipped_bit_of_the_signature_file_is_refused() -> None:
    pem, public = ed25519.generate()
    raw = ed25519.sign("ef" * 32, pem, "key").to_bytes()
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            found = parse_signature(bytes(changed))
        except BundleError:
            continue
        assert found.public_key != public or not valid_here(found, "ef" * 32), bit


def test_any_flipped_byte_of_the_manifest_is_refused(signed: Path, keys: Path, monkeypatch) -> None:
    monkeypatch.setattr(trust, "is_valid", valid_here)
    path = signed / "manifest.json"
    raw = path.read_bytes()
    require_trusted(load_bundle(signed), keys / "ours.pub")
    for at in range(0, len(raw), 37):
        changed = bytearray(raw)
        changed[at] ^= 1
        path.write_bytes(changed)
        with pytest.raises(BundleError):
            require_trusted(load_bundle(signed), keys / "ours.pub")


@pytest.mark.parametrize(
    "raw",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"public_key": 5, "signature": 6}', b"[" * 500, b"x" * 1025],
    ids=["empty", "object", "list", "null", "binary", "numbers", "deep", "long"],
)
def test_a_damaged_signature_file_is_one_line(raw: bytes, signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (signed / "manifest.sig").write_bytes(raw)
    assert main(["bundle", "show", str(signed)]) == 4
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_trailing_bytes_of_the_signature_file_are_refused(signed: Path) -> None:
    path = signed / "manifest.sig"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BundleError, match=r"manifest\.sig is damaged"):
        load_bundle(signed)


def test_the_signature_is_never_a_link_or_a_listed_file(signed: Path, tmp_path: Path) -> None:
    target = (signed / "manifest.sig").rename(tmp_path / "elsewhere")
    (signed / "manifest.sig").symlink_to(target)
    with pytest.raises(BundleError, match="symbolic link"):
        load_bundle(signed)
    (signed / "manifest.sig").unlink()
    shutil.copy(target, signed / "manifest.sig")
    edit(signed, lambda m: m["files"].update({"manifest.sig": {"sha256": "0" * 64, "bytes": 5}}))
    with pytest.raises(BundleError, match=r"lists manifest\.sig"):
        load_bundle(signed)


def run_args(bundle: Path | str, keys: Path) -> list[str]:
    source = ["--source", "sim:", "--speed", "max", "--seconds", "14", "--view", "none"]
    return ["run", *source, "--bundle", str(bundle), "--trusted", str(keys)]


def test_run_takes_a_trusted_bundle_and_refuses_the_others(signed: Path, keys: Path, capsys) -> None:
    assert main(run_args(signed, keys / "ours.pub")) == 0
    capsys.readouterr()
    assert main(run_args(signed, keys / "theirs.pub")) == 4
    assert "which is not trusted" in capsys.readouterr().err
    assert main(run_args("demo", keys / "ours.pub")) == 4
    assert "is unsigned" in capsys.readouterr().err
    edit(signed, lambda m: m.update(version="9"))
    assert main(run_args(signed, keys / "ours.pub")) == 4
    error = capsys.readouterr().err
    assert "bad signature" in error
    assert len(error.splitlines()) == 1


def test_several_recordings_are_run_with_a_trusted_bundle_only(tmp_path: Path, keys: Path, capsys) -> None:
    recordings = [f"replay:{tmp_path}/{name}.csv?fs=250&unit=mV" for name in "ab"]
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("0.0\n" * 2500)
    args = ["run", "--source", *recordings, "--view", "none", "--trusted", str(keys / "ours.pub")]
    assert main(args) == 4
    assert "is unsigned" in capsys.readouterr().err


def test_a_configuration_file_may_name_the_trusted_keys(signed: Path, keys: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'source = "sim:"\nview = "none"\nbundle = "demo"\ntrusted = "{keys}/ours.pub"\n')
    assert main(["run", "--config", str(config)]) == 4


def test_several_keys_and_comments(keys: Path, signed: Path, tmp_path: Path) -> None:
    both = tmp_path / "trusted"
    lines = [(keys / f"{name}.pub").read_text() for name in ("theirs", "ours")]
    both.write_text("# who may release\n\n" + "".join(lines))
    assert len(read_trusted(both)) == 2
    require_trusted(load_bundle(signed), both)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# none\n",
        "ssh-ed25519 AAAA me\n",
        "anyecg-ed25519 AAAA short\n",
        "anyecg-ed25519\n",
        "\x00\xff\n",
        "é" * 40000,
    ],
)
def test_a_file_without_keys_trusts_nobody(text: str, tmp_path: Path) -> None:
    (tmp_path / "trusted").write_text(text)
    with pytest.raises(UsageError):
        read_trusted(tmp_path / "trusted")


def test_one_bad_line_is_named_and_a_private_key_is_not_taken(keys: Path, tmp_path: Path) -> None:
    (tmp_path / "trusted").write_text((keys / "ours.pub").read_text() + "nonsense\n")
    with pytest.raises(UsageError, match="line 2"):
        read_trusted(tmp_path / "trusted")
    with pytest.raises(UsageError, match="PEM"):
        read_trusted(keys / "ours")


def test_a_name_cannot_control_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "trusted").write_text(public_line(b"k" * 32, "a\x1b[2Jb\nc"))
    assert list(read_trusted(tmp_path / "trusted").values()) == ["a\ufffd[2Jb c"]


def test_show_verify_and_diff_say_what_the_signature_is(signed: Path, keys: Path, capsys) -> None:
    key = load_bundle(signed).signature.key_id  # type: ignore[union-attr]
    capsys.readouterr()
    assert main(["bundle", "show", str(signed)]) == 0
    assert f"signed by key {key}\n" in capsys.readouterr().out
    assert main(["bundle", "diff", str(signed), "demo"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert f"signed by key {key}" in out[0]
    assert "unsigned" in out[1]
    assert main(["bundle", "verify", str(signed), "--trusted", str(keys / "theirs.pub")]) == 4
    edit(signed, lambda m: m.update(version="9"))
    capsys.readouterr()
    assert main(["bundle", "show", str(signed)]) == 0
    assert "bad signature" in capsys.readouterr().out
    assert main(["bundle", "verify", str(signed)]) == 4
    assert "bad signature" in capsys.readouterr().err


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_private_key_that_others_may_read_is_refused(
    mode: int, folder: Path, keys: Path, tmp_path: Path, capsys
) -> None:
    key = Path(shutil.copy(keys / "ours", tmp_path / "k"))
    key.chmod(mode)
    assert main(["bundle", "sign", str(folder), "--key", str(key)]) == 2
    assert "chmod 600" in capsys.readouterr().err


def test_what_is_no_private_key_is_refused(folder: Path, keys: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    other = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for i, content in enumerate([b"", b"nonsense", other, (keys / "ours.pub").read_bytes(), b"x" * 5000]):
        path = tmp_path / f"k{i}"
        path.write_bytes(content)
        path.chmod(0o600)
        assert main(["bundle", "sign", str(folder), "--key", str(path)]) == 2
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "none"):
        assert main(["bundle", "sign", str(folder), "--key", str(path)]) == 2
    assert not (folder / "manifest.sig").exists()


def test_the_bundle_in_the_package_is_not_signed_in_place(keys: Path) -> None:
    assert main(["bundle", "sign", "demo", "--key", str(keys / "ours")]) == 2
    assert not (demo_bundle_path() / "manifest.sig").exists()


def test_a_child_without_an_answer_is_not_a_yes(signed: Path, keys: Path, tmp_path: Path, monkeypatch) -> None:
    bundle = load_bundle(signed)
    for i, body in enumerate(["exit 0", "echo valid", "printf valid; exit 1", "kill -9 $$", "printf validvalid"]):
        script = tmp_path / f"python{i}"
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
        monkeypatch.setattr(ed25519.sys, "executable", str(script))
        with pytest.raises(BundleError, match="no answer"):
            require_trusted(bundle, keys / "ours.pub")


def test_the_child_takes_no_library_from_the_working_directory(
    signed: Path, keys: Path, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "cryptography").mkdir()
    (tmp_path / "cryptography" / "__init__.py").write_text("import os\nos.write(1, b'valid')\nos._exit(0)\n")
    monkeypatch.chdir(tmp_path)
    bundle = replace(load_bundle(signed), sha256="0" * 64)
    with pytest.raises(BundleError, match="bad signature"):
        require_trusted(bundle, keys / "ours.pub")


@pytest.fixture
def without_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain install: the library is missing, here and in a child process."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    hiding = "import sys\nfor name in ('cryptography', 'cryptography.exceptions'):\n    sys.modules[name] = None\n"
    (hidden / "sitecustomize.py").write_text(hiding)
    monkeypatch.setenv("PYTHONPATH", f"{hidden}:{os.environ.get('PYTHONPATH', '')}")
    for name in [n for n in sys.modules if n.split(".")[0] == "cryptography"] or ["cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)


def test_a_plain_install_checks_hashes_and_says_so(signed: Path, keys: Path, without_library: None, capsys) -> None:
    assert main(["bundle", "verify", str(signed)]) == 0
    assert "not checked: pip install 'anyecg-edge[sign]'" in capsys.readouterr().out
    assert main(["bundle", "verify", "demo"]) == 0
    assert "signature: unsigned" in capsys.readouterr().out
    assert main(run_args(signed, keys / "ours.pub")) == 6
    assert main(run_args("demo", keys / "ours.pub")) == 4
    with pytest.raises(MissingExtraError):
        ed25519.generate()
    with pytest.raises(MissingExtraError):
        ed25519.sign("", b"", "key")


def test_no_command_loads_the_library_to_read_or_run(signed: Path, keys: Path) -> None:
    """Neither the memory nor the imports of a device change, with trusted keys or without."""
    for arguments in (["bundle", "show", str(signed)], run_args(signed, keys / "ours.pub")):
        code = f"import sys\nfrom edge.cli.main import main\nassert main({arguments!r}) == 0\n"
        code += "assert not {n for n in sys.modules if n.split('.')[0] in ('cryptography', '_cffi_backend')}\n"
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)


def test_an_unsigned_bundle_has_no_signature() -> None:
    bundle: Bundle = load_bundle("demo")
    assert bundle.signature is None
    assert trust.signature_text(bundle) == "unsigned"

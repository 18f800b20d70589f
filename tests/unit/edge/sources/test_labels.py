"""Labels of signals and units: which say ECG, and which unit is a microvolt in any encoding."""

from __future__ import annotations

import time

import pytest

from edge.sources.replay.base import ReadOptions, choose_lead, is_lead_name, plain_name, voltage_scale_mv
from edge.sources.replay.labels import NAME_MAX, clean_name, decoded, guess_note, has_ecg_word, listed
from firmware_bridge.errors import InputError

ECG = (
    "ECG", "EKG", "ecg", "ECG1", "EKG2", "ECG 12", "ECGL", "ECGR", "EKG R", "ECG V2-V1", "ECG EKG-REF", "EEG EKG1-REF",
    "ECG1-ECG2", "ECG L-ECG R", "ECG I+II", "ECG_LL", "ECG-LA", "ECGII", "ECG aVF", "Dériv ECG II", "rawECG",
    "ecgSignal", "EcgWaveform", "POL EKG", "EKG-A1", "x ECG-0", "ECG (uV)", "Chest ECG", "ECG.data",
)  # fmt: skip
NOT = (
    "EEG", "EEG Fp1", "C3-M2", "EMG", "EOG", "spectrogram", "Spec-gram", "ecgonine", "ECGregor", "SECG", "decg",
    "kEKGo", "ECG HR", "EKG rate", "ECG impedance", "ECG quality", "RR ECG", "ECG-derived respiration", "ECG Status",
    "SpO2", "", "-", "e c g", "E-KG",
)  # fmt: skip


@pytest.mark.parametrize("label", ECG)
def test_the_word_is_found(label: str) -> None:
    assert has_ecg_word(label)
    assert is_lead_name(label)


@pytest.mark.parametrize("label", NOT)
def test_other_words_are_not(label: str) -> None:
    assert not has_ecg_word(label)


@pytest.mark.parametrize(
    ("names", "voltage", "taken"),
    [
        (["EEG Fp1", "EKG1"], [True, True], "EKG1"),
        (["EEG Fp1", "EKG1", "ECG II-ref"], [True] * 3, "ECG II-ref"),
        (["ECG HR", "EEG 1", "ECG V2-V1"], [False, True, True], "ECG V2-V1"),
        (["ECG", "ECG 2"], [False, True], "ECG 2"),
        (["Signal", "EKG R"], [True, True], "EKG R"),
        (["ABP", "Signal"], [True, True], "Signal"),
        (["ABP", "CVP"], [False, True], "CVP"),
        (["ABP", "CVP"], [False, False], "ABP"),
        (["ECG", "V5", "II"], [True] * 3, "II"),
    ],
)
def test_the_choice(names: list[str], voltage: list[bool], taken: str) -> None:
    assert names[choose_lead(names, ReadOptions(), voltage, "x")] == taken


def test_a_guess_is_said_and_nothing_else() -> None:
    assert guess_note(["EEG", "EMG"], 0, asked=False, known=False) == (
        "no signal has the name of an ECG lead; 'EEG' was taken. Choose with lead=; it has: EEG, EMG",
    )
    assert "only signal" in guess_note(["EEG"], 0, asked=False, known=False)[0]
    assert guess_note(["EEG", "EMG"], 0, asked=True, known=False) == ()
    assert guess_note(["EEG", "ECG"], 1, asked=False, known=True) == ()
    assert guess_note(["Dérivation II"], 0, asked=False, known=False) == ()


MICRO = ("uV", "UV", "µV", "μV", "mcV", "microvolt", "microvolts", "Microvolts", "uVolt", "micro V", "[uV]", "uV\0\0")
RAW_MICRO = (b"\xb5V", b"\xc2\xb5V", b"\xce\xbcV", b"\xe6V", b"\xa6\xccV", b"\x83\xcaV", b"\xef\xbf\xbdV", b"uV     ")


@pytest.mark.parametrize("unit", MICRO)
def test_microvolts(unit: str) -> None:
    assert voltage_scale_mv(unit) == 1e-3


@pytest.mark.parametrize("raw", RAW_MICRO)
def test_a_micro_sign_in_any_encoding(raw: bytes) -> None:
    assert voltage_scale_mv(decoded(raw)) == 1e-3
    assert voltage_scale_mv(raw.decode("latin-1")) == 1e-3


def test_other_units() -> None:
    for unit, scale in {
        "mV": 1.0,
        "MV": 1.0,
        "millivolts": 1.0,
        "V": 1e3,
        "Volts": 1e3,
        "nV": 1e-6,
        "nanovolt": 1e-6,
    }.items():
        assert voltage_scale_mv(unit) == scale
    for unit in ("", "mmHg", "NU", "%", "bpm", "uV²", "kV", "mVs", "uV/mm", "degC", "µ", "VV"):
        assert voltage_scale_mv(unit) is None, unit


def test_names_are_safe_for_a_terminal_and_bounded() -> None:
    assert clean_name("\x1b]0;own\x07\nII") == "?]0;own??II"
    assert len(clean_name("x" * 10_000)) == NAME_MAX
    assert listed([str(i) for i in range(1000)]).endswith("23 and 976 more")


@pytest.mark.parametrize("name", ["_" * 1_000_000, " (" * 500_000 + "mv", "ECG" * 300_000, "a" * 1_000_000 + "["])
def test_a_long_name_takes_no_time(name: str) -> None:
    began = time.process_time()
    plain_name(name)
    is_lead_name(name)
    assert time.process_time() - began < 0.5


def test_many_names_take_linear_time_and_a_short_message() -> None:
    names = [f"channel_{i}" for i in range(30_000)]
    began = time.process_time()
    with pytest.raises(InputError) as caught:
        choose_lead(names, ReadOptions(lead="x"), [False] * len(names), "x")
    assert time.process_time() - began < 5.0
    assert len(str(caught.value)) < 500

"""`anyecg prepare` refuses bad input with a one-line message and the right exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from convert.datasets.prepared import MANIFEST
from convert.labels.plan import candidate_heads, parse_plan, read_plan
from convert.simulate.write import CohortPlan, write_cohort
from edge.cli.main import main
from firmware_bridge.errors import InputError


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("cohort") / "c"
    write_cohort(CohortPlan(patients=5, seed=8, seconds=20.0), root)
    return root


@pytest.fixture
def cohort(made, tmp_path) -> Path:
    import shutil

    return Path(shutil.copytree(made, tmp_path / "cohort"))


def refused(capsys, code: int, *argv: str) -> str:
    assert main(["prepare", *argv, "--quiet"]) == code
    err = capsys.readouterr().err
    assert err.startswith("anyecg: ")
    assert err.count("\n") == 1
    return err


def test_a_wrong_folder_lists_the_expected_files(tmp_path, capsys):
    out = str(tmp_path / "out")
    assert "does not exist" in refused(capsys, 3, "--mcmed", str(tmp_path / "none"), "--out", out)
    (tmp_path / "empty").mkdir()
    err = refused(capsys, 3, "--mcmed", str(tmp_path / "empty"), "--out", out)
    assert all(name in err for name in ("visits.csv", "labs.csv", "waveforms", str(tmp_path / "empty")))
    assert "--mcmed" in refused(capsys, 2, "--out", out)
    assert "--labs" in refused(capsys, 2, "--records", str(tmp_path / "empty"), "--out", out)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("keep", "expected"), [(0, "is empty"), (1, "no rows")])
def test_an_empty_table_of_results(cohort, tmp_path, capsys, keep, expected):
    lines = (cohort / "labs.csv").read_text().splitlines(keepends=True)
    (cohort / "labs.csv").write_text("".join(lines[:keep]))
    assert expected in refused(capsys, 3, "--mcmed", str(cohort), "--out", str(tmp_path / "out"))


def test_a_missing_column_is_named(cohort, tmp_path, capsys):
    text = (cohort / "labs.csv").read_text()
    (cohort / "labs.csv").write_text(text.replace("Component_units", "Units", 1))
    assert "Component_units" in refused(capsys, 3, "--mcmed", str(cohort), "--out", str(tmp_path / "out"))


def test_unknown_units_are_listed_and_never_guessed(cohort, tmp_path, capsys):
    lines = (cohort / "labs.csv").read_text().splitlines(keepends=True)
    i = next(i for i, line in enumerate(lines) if ",POTASSIUM," in line and "HEMOLYZED" not in line)
    k = next(i for i, line in enumerate(lines) if ",CALCIUM," in line)
    lines[i], lines[k] = lines[i].replace("mmol/L", "furlong"), lines[k].replace("mg/dL", "stone/L")
    (cohort / "labs.csv").write_text("".join(lines))
    argv = ("--mcmed", str(cohort), "--out", str(tmp_path / "out"))
    err = refused(capsys, 3, *argv)
    assert "calcium in 'stone/L' (1), potassium in 'furlong' (1)" in err
    labels = tmp_path / "l.toml"
    labels.write_text('[labs.potassium]\nunits = { "furlong" = 1.0 }\n[labs.calcium]\nignore_units = ["Stone / L"]\n')
    assert main(["prepare", *argv[:2], "--out", str(tmp_path / "other"), "--labels", str(labels), "--quiet"]) == 0
    assert "ignored_unit" in capsys.readouterr().out


def test_a_corrupt_signal_stops_the_run_unless_it_is_skipped(cohort, tmp_path, capsys):
    path = min(cohort.glob("waveforms/*/*/II/*.dat"))
    path.write_bytes(path.read_bytes()[:-1000])
    argv = ("--mcmed", str(cohort), "--out", str(tmp_path / "out"))
    err = refused(capsys, 3, *argv)
    assert path.name in err
    assert "truncated" in err
    assert "--skip-broken" in err
    assert main(["prepare", "--mcmed", str(cohort), "--out", str(tmp_path / "o2"), "--skip-broken", "--quiet"]) == 0
    assert "unreadable                             1" in capsys.readouterr().out


def test_a_patient_in_two_parts_is_refused(cohort, tmp_path, capsys):
    visits = [line.split(",") for line in (cohort / "visits.csv").read_text().splitlines()[1:]]
    train = (cohort / "split_random_train.csv").read_text().split()
    csn = train[0]
    mrn = next(v[0] for v in visits if v[1] == csn)
    argv = ("--mcmed", str(cohort), "--out", str(tmp_path / "out"))
    with (cohort / "split_random_test.csv").open("a") as file:
        file.write(f"{csn}\n")
    assert f"visit {csn} is in both" in refused(capsys, 3, *argv)
    # A second visit of the same patient in another part.
    with (cohort / "visits.csv").open("a") as file:
        file.write(f"{mrn},97000001,2,2,50,F\n")
    test = (cohort / "split_random_test.csv").read_text().replace(f"{csn}\n", "97000001\n")
    (cohort / "split_random_test.csv").write_text(test)
    assert f"patient {mrn} is in both" in refused(capsys, 3, *argv)


def test_two_patients_with_the_same_signal_are_refused(cohort, tmp_path, capsys):
    """A copy under a second name would be in training and in the test at once."""
    import shutil

    signals = {path.parents[1].name: path for path in sorted((cohort / "waveforms").rglob("*.dat"))}
    by_size: dict[int, list[Path]] = {}
    for path in signals.values():
        by_size.setdefault(path.stat().st_size, []).append(path)
    first, *_, second = max(by_size.values(), key=len)
    assert main(["prepare", "--mcmed", str(cohort), "--out", str(tmp_path / "good"), "--quiet"]) == 0
    capsys.readouterr()
    shutil.copyfile(first, second)
    err = refused(capsys, 3, "--mcmed", str(cohort), "--out", str(tmp_path / "out"))
    assert "hold the same ten seconds" in err
    assert "of patient" in err
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_a_folder_with_other_files_is_not_touched(cohort, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.doc").write_text("dear")
    argv = ("--mcmed", str(cohort), "--out", str(out))
    assert "not empty" in refused(capsys, 7, *argv)
    (out / "thesis.doc").unlink()
    assert main(["prepare", *argv, "--quiet"]) == 0
    capsys.readouterr()
    assert "another data set" in refused(capsys, 2, *argv, "--split", "chrono")


def test_a_full_disk_gives_a_one_line_error(cohort, tmp_path):
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (15000, 15000));"
        "from edge.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    argv = ["prepare", "--mcmed", str(cohort), "--out", str(tmp_path / "out"), "--quiet"]
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=120)
    assert done.returncode == 7, done.stderr
    assert done.stderr.startswith("anyecg: cannot write")
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "out").rglob("*.part"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[pairing]\nmodes = 'x'", "unknown key modes"),
        ("pears = 1", "unknown key pears"),
        ("[labs.potassium]\nname = ['K']", "unknown key name"),
        ("[labs.kalium]", "labs.kalium is not in the catalogue"),
        ("[pairing]\nmode = 'sometimes'", "order_to_result, nearest"),
        ("[pairing]\nbefore_min = -1", "0 or more"),
        ("[heads]\nhorizons_min = [0]", "minutes"),
        ("[heads]\nhorizons_min = 30", "list of minutes"),
        ("[heads]\ndirections = ['up']", "low, high, abnormal"),
        ("[heads]\nvalues = 1", "not true or false"),
        ("[heads]\nmin_values = 1.5", "whole"),
        ("[heads]\ndirections = []\nhorizons_min = []\nvalues = false", "asks for no output"),
        ("[segments]\nhop_s = 0", "0.1 to 3600"),
        ("[labs.potassium]\nunits = { x = 0 }", "unit = factor"),
        ("[labs.potassium]\nnames = []", "component names"),
        ("[labs.potassium]\nnames = ['K']\n[labs.sodium]\nnames = ['k.']", "two labs"),
        ("labs = 3", "not a table"),
        ("schema = 'anyecg.labels/9'", "anyecg.labels/1"),
        ("=", "not valid TOML"),
    ],
)
def test_label_files_are_checked(text, expected):
    with pytest.raises(InputError, match=r"l\.toml") as caught:
        parse_plan(text, "l.toml")
    assert expected in str(caught.value)


def test_label_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_plan(tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not text"):
        read_plan(tmp_path / "b.toml")


def test_the_default_label_file_states_the_defaults():
    """The label file in the package gives the same plan as an empty label file."""
    plan, bare = read_plan(None), parse_plan("", "l.toml")
    assert (plan.pairing, plan.heads, plan.segments) == (bare.pairing, bare.heads, bare.segments)
    assert [lab.key for lab in plan.labs] == [lab.key for lab in bare.labs]
    keys = [head.key for head in candidate_heads(plan)]
    assert len(set(keys)) == len(keys) == 9 * len(plan.labs)

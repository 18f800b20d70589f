"""Further forms of a recorded lead: the seam, the length, and what they follow from."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="the convert extra is not installed")

from convert.simulate.real_forms import UNKNOWN_SCALE_MV, FormItems, form, mixture, read_lead
from convert.simulate.recordings import blocks_of
from convert.simulate.varied import varied_ecg
from firmware_bridge.errors import InputError
from firmware_bridge.samples import SampleBlock

LEAD = varied_ecg(3, 1, 10.0)


def items(samples, unit="mV", fs_hz=500.0, lost=0):
    """Return the items of a lead in blocks of a second, with ``lost`` samples missing before the sixth."""

    def opened():
        step = round(fs_hz)
        for i in range(0, len(samples), step):
            part = samples[i : i + step]
            gap = lost if i == 5 * step else 0
            lsb_mv = None
            yield SampleBlock(part, unit, lsb_mv, fs_hz, None, round((i + len(part)) / fs_hz * 1e9), lost=gap)

    return opened


def test_a_form_follows_from_its_seed_and_has_its_length():
    one = form(LEAD, (7,), 20.0)
    assert one.shape == (10_000,)
    assert np.all(np.isfinite(one))
    np.testing.assert_array_equal(one, form(LEAD, (7,), 20.0))
    assert not np.array_equal(one, form(LEAD, (8,), 20.0))
    assert not np.array_equal(one, form(varied_ecg(3, 2, 10.0), (7,), 20.0))


def test_a_seam_adds_no_step():
    """A sine that does not fit the ten seconds continues where it is most alike."""
    from convert.simulate.real_forms import _continued

    t = np.arange(5000) / 500.0
    wave = np.sin(2 * np.pi * 1.13 * t)
    longer = _continued(wave, 12_000, np.random.default_rng(1))
    assert np.abs(np.diff(longer)).max() < 1.1 * np.abs(np.diff(wave)).max()
    assert len(longer) == 12_000


def test_a_long_lead_is_cut_and_not_repeated():
    from convert.simulate.real_forms import _continued

    ramp = np.arange(20_000.0)
    part = _continued(ramp, 5000, np.random.default_rng(2))
    np.testing.assert_array_equal(np.diff(part), 1.0)


def test_blocks_of_a_form_can_be_read_again():
    opened = FormItems(items(LEAD.astype(np.float32)), (5,), 20.0)
    first = np.concatenate([block.samples for block in opened()])
    np.testing.assert_array_equal(first, np.concatenate([block.samples for block in opened()]))
    np.testing.assert_array_equal(first, form(read_lead(opened.lead), (5,), 20.0).astype(np.float32))


def test_a_lead_of_unknown_scale_gets_one():
    counts = np.rint(LEAD * 8000).astype(np.int32)
    assert np.ptp(read_lead(items(counts, "counts"))) == pytest.approx(UNKNOWN_SCALE_MV)
    known = read_lead(lambda: blocks_of(LEAD.astype(np.float32)))
    assert np.ptp(known) == pytest.approx(np.ptp(LEAD), rel=1e-4)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (items(LEAD[:4000].astype(np.float32)), "shorter than ten seconds"),
        (items(LEAD.astype(np.float32), lost=700), "without a gap"),
        (items(np.full(5000, 0.5, np.float32)), "flat"),
        (items(np.empty(0, np.float32)), "shorter than ten seconds"),
    ],
)
def test_a_lead_without_ten_seconds_is_refused(given, reason):
    with pytest.raises(InputError, match=reason):
        read_lead(given)


def test_half_of_the_forms_are_mixed_from_the_leads_of_the_recording():
    """A mixture of leads is not a multiple of one of them."""
    other, third = (items(varied_ecg(3, k, 10.0).astype(np.float32)) for k in (2, 3))
    alone = [FormItems(items(LEAD.astype(np.float32)), (k,), 10.0) for k in range(40)]
    among = [FormItems(one.lead, one.seed, 10.0, (other, third)) for one in alone]
    same = [np.array_equal(a._lead(), b._lead()) for a, b in zip(alone, among, strict=True)]
    assert 10 < sum(same) < 30
    mixed = among[same.index(False)]._lead()
    assert np.ptp(mixed) == pytest.approx(np.ptp(LEAD), rel=1e-4)
    leads = [read_lead(k) for k in (alone[0].lead, other, third)]
    basis = np.column_stack([*leads, np.ones(5000)])
    weights, residual, *_ = np.linalg.lstsq(basis, mixed, rcond=None)
    assert residual[0] < 1e-6
    assert np.count_nonzero(np.abs(weights[:3]) > 0.05) >= 2


def test_a_lead_that_cannot_be_mixed_is_left_out():
    flat, gap = items(np.full(5000, 0.5, np.float32)), items(LEAD.astype(np.float32), lost=700)
    later = items(np.concatenate([LEAD, LEAD]).astype(np.float32))
    for seed in range(12):
        one = FormItems(items(LEAD.astype(np.float32)), (seed,), 10.0, (flat, gap, later))
        np.testing.assert_array_equal(one._lead(), read_lead(one.lead))


def test_leads_that_cancel_one_another_give_the_first():
    np.testing.assert_array_equal(mixture([LEAD, -LEAD], np.array([1.0, 1.0])), LEAD)

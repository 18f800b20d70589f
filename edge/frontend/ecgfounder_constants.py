"""Filter coefficients and initial states of ``ecgfounder/1``. Designed by scipy 1.17.1; do not edit.

``.venv/bin/python packaging/ecgfounder_constants.py`` writes this file. ``B`` is the numerator, ``A`` the denominator,
``ZI`` the state of a settled step response (``scipy.signal.lfilter_zi``). Input and output are in the same unit.
"""

NOTCH_B = (
    0.9896361753628921,
    -1.6012649682336106,
    0.9896361753628921,
)
"""Numerator of ``scipy.signal.iirnotch(50, 30, 500)``."""

NOTCH_A = (
    1.0,
    -1.6012649682336106,
    0.9792723507257841,
)
"""Denominator of ``scipy.signal.iirnotch(50, 30, 500)``."""

NOTCH_ZI = (
    0.010363824637108,
    0.010363824637107907,
)
"""Initial state of ``scipy.signal.iirnotch(50, 30, 500)``."""

BAND_B = (
    0.00210678134062039,
    0.0,
    -0.00842712536248156,
    0.0,
    0.012640688043722339,
    0.0,
    -0.00842712536248156,
    0.0,
    0.00210678134062039,
)
"""Numerator of ``scipy.signal.butter(4, [0.67, 40], "bandpass", fs=500)``."""

BAND_A = (
    1.0,
    -6.69982772563499,
    19.691253828465822,
    -33.190544451430235,
    35.11756594006398,
    -23.895107000645453,
    10.212953481905869,
    -2.5068563003602984,
    0.27056222781627265,
)
"""Denominator of ``scipy.signal.butter(4, [0.67, 40], "bandpass", fs=500)``."""

BAND_ZI = (
    -0.002106765096057557,
    -0.0021068739318300172,
    0.006320571306461621,
    0.0063200321405768225,
    -0.00632008543363907,
    -0.00632047359920614,
    0.002106817668239964,
    0.00210677694545528,
)
"""Initial state of ``scipy.signal.butter(4, [0.67, 40], "bandpass", fs=500)``."""

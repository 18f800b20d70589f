"""Host side: device gain, probability calibration, thresholds and validation."""

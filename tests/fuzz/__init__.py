"""Fuzz targets: bytes of unknown origin in, samples or one clean line out. ``make fuzz`` runs them."""

"""A device, a source and a sink for anyecg-edge."""

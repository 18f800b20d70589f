"""``python -m firmware_bridge.virtual``."""

from firmware_bridge.virtual.command import main

main()

"""Estimates to an MQTT broker, with discovery messages for Home Assistant. Needs the ``mqtt`` extra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.sinks.mqtt.address import Broker
    from edge.sinks.mqtt.sink import MqttSink, open_mqtt

__all__ = ["Broker", "MqttSink", "open_mqtt"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(__name__, {"Broker": "address", "MqttSink": "sink", "open_mqtt": "sink"})

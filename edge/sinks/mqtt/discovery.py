"""The discovery message for Home Assistant (2024.11 and later): one device, and its entities.

Bundles are foreign files, so none of their text gets into a template: templates hold cleaned keys only.
"""

from __future__ import annotations

import json
from importlib import metadata
from typing import TYPE_CHECKING

from edge.bundle.words import label, sentence, shown_unit
from edge.records import ABSTAIN_REASONS
from edge.rhythm.record import RHYTHM_NAMES
from edge.sinks.mqtt.messages import OK, WAITING
from edge.waves.record import WaveRecord, interval_values
from firmware_bridge.text import printable, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.bundle.reader import Bundle
    from edge.bundle.schema import OutputHead

ORIGIN_URL = "https://arxiv.org/abs/2510.22301"


class Topics:
    """The topics of one patch.

    Args:
        prefix: First levels of the topics.
        node: Identifier of the patch.
        process: Topic of the process, if it has several patches; ``None`` otherwise.
    """

    def __init__(self, prefix: str, node: str, process: str | None = None) -> None:
        self.process = process
        self.availability = f"{prefix}/{node}/availability"
        self.state = f"{prefix}/{node}/state"
        self.event = f"{prefix}/{node}/estimate"


def discovery_topic(prefix: str, node: str) -> str:
    """Return the topic of the discovery message."""
    return f"{prefix}/device/anyecg_{node}/config"


def discovery(
    bundle: Bundle, slugs: Mapping[str, str], topics: Topics, node: str, name: str, model: str, expire_s: int
) -> str:
    """Return the discovery message.

    Args:
        bundle: The bundle that makes the estimates.
        slugs: Name of each output in the state.
        topics: The topics.
        node: Identifier of the patch.
        name: Name of the patch for people.
        model: Kind of the patch.
        expire_s: Seconds after which a state is too old, and the entities are unavailable.
    """
    manifest = bundle.manifest
    entities = _Entities(node, topics, expire_s)
    _seen(entities)
    for head in manifest.outputs:
        if head.key in slugs:
            _head(entities, head, slugs[head.key], flagged=_has_flag(bundle, head))
    entities.sensor(
        "quality", "Signal quality", "value_json.quality", unit_of_measurement="%", state_class="measurement",
        suggested_display_precision=0, icon="mdi:signal", entity_category="diagnostic",
    )  # fmt: skip
    entities.sensor(
        "status", "Status", "value_json.status", device_class="enum", options=[OK, WAITING, *ABSTAIN_REASONS],
        icon="mdi:information-outline", entity_category="diagnostic",
    )  # fmt: skip
    entities.sensor(
        "estimated", "Last estimate", "value_json.estimated", device_class="timestamp", entity_category="diagnostic"
    )
    version = metadata.version("anyecg-edge")
    message = {
        "device": {
            "identifiers": [f"anyecg_{node}"],
            "name": name,
            "manufacturer": "anyecg-edge (research software, no medical device)",
            "model": shortened(printable(f"{model}, bundle {manifest.name} {manifest.version}"), 100),
            "sw_version": version,
        },
        "origin": {"name": "anyecg-edge", "sw_version": version, "support_url": ORIGIN_URL},
        **_availability(topics),
        "state_topic": topics.state,
        "qos": 1,
        "components": entities.components,
    }
    return json.dumps(message, separators=(",", ":"))


def _availability(topics: Topics) -> dict[str, object]:
    """Return what must be online: the patch and, if it has several patches, the process, whose last will it is."""
    if topics.process is None:
        return {"availability_topic": topics.availability}
    both = [{"topic": topics.process}, {"topic": topics.availability}]
    return {"availability": both, "availability_mode": "all"}


class _Entities:
    """Collects the components of the message."""

    def __init__(self, node: str, topics: Topics, expire_s: int) -> None:
        self._node, self._topics, self._expire_s = node, topics, expire_s
        self.components: dict[str, dict[str, object]] = {}

    def sensor(self, key: str, name: str, value: str, **more: object) -> None:
        self._add("sensor", key, name, value, more)

    def binary_sensor(self, key: str, name: str, value: str, **more: object) -> None:
        self._add("binary_sensor", key, name, value, more)

    def _add(self, platform: str, key: str, name: str, value: str, more: dict[str, object]) -> None:
        component: dict[str, object] = {
            "platform": platform,
            "unique_id": f"anyecg_{self._node}_{key}",
            "name": name,
            "value_template": f"{{{{ {value} }}}}",
            "expire_after": self._expire_s,
        }
        self.components[key] = component | more

    def attributes(self, about: str) -> dict[str, object]:
        facts = f"dict({about}, time=value_json.time, clock_synced=value_json.clock_synced, notice=value_json.notice)"
        return {"json_attributes_topic": self._topics.state, "json_attributes_template": f"{{{{ {facts} | tojson }}}}"}


def _seen(entities: _Entities) -> None:
    """Add what the ECG itself shows."""
    entities.sensor(
        "heart_rate", "Heart rate", "value_json.heart_rate", unit_of_measurement="bpm", state_class="measurement",
        suggested_display_precision=0, icon="mdi:heart-pulse",
    )  # fmt: skip
    entities.sensor(
        "rhythm", "Rhythm", "value_json.rhythm", device_class="enum", options=list(RHYTHM_NAMES), icon="mdi:heart-flash"
    )
    for interval, _ms in interval_values(WaveRecord()):
        # One entity has the change of all quantities: it always exists, with or without a baseline.
        more = entities.attributes("dict(change=value_json.change)") if interval == "QTc" else {}
        entities.sensor(
            interval.lower(), f"{interval} interval", f"value_json.{interval.lower()}", unit_of_measurement="ms",
            state_class="measurement", suggested_display_precision=0, icon="mdi:heart-pulse", **more,
        )  # fmt: skip


def _head(entities: _Entities, head: OutputHead, key: str, *, flagged: bool) -> None:
    place = f"value_json.labs['{key}']"
    probability = head.unit == "1"
    more = entities.attributes(f"{place}.about")
    if head.evidence.tier == "limited":
        # Hardly better than a coin toss: hidden in Home Assistant until a user enables it.
        more["enabled_by_default"] = False
    words, unit = sentence(label(head.key)), shown_unit(head.unit)
    entities.sensor(
        f"lab_{key}", f"{words} {'probability' if probability else 'estimate'}", f"{place}.value",
        state_class="measurement", **({"unit_of_measurement": unit} if unit else {}),
        suggested_display_precision=0 if probability else 1, icon="mdi:test-tube", **more,
    )  # fmt: skip
    if flagged:
        entities.binary_sensor(f"flag_{key}", f"{words} flag", f"{place}.flag", device_class="problem", **more)


def _has_flag(bundle: Bundle, head: OutputHead) -> bool:
    return bundle.calibration[head.key].shown_threshold is not None and head.evidence.tier != "limited"

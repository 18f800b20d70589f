"""Runs in Home Assistant's environment, in its own test harness: connects its real MQTT integration to a broker, starts
a run of the kit, and writes down the entities that Home Assistant has made of it.

Environment: ``WATCH_PORT`` (the broker), ``WATCH_COMMAND`` (JSON list: the run), ``WATCH_OUT`` (a JSON file).
"""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import entity_registry as er
from pytest_homeassistant_custom_component.common import MockConfigEntry


def _entities(hass):
    out = {}
    for entry in er.async_get(hass).entities.values():
        state = hass.states.get(entry.entity_id)
        out[entry.entity_id] = {
            "unique_id": entry.unique_id,
            "disabled_by": entry.disabled_by,
            "category": entry.entity_category,
            "state": None if state is None else state.state,
            "attributes": {} if state is None else json.loads(json.dumps(dict(state.attributes), default=str)),
        }
    return out


async def _until(hass, what, seconds=60):
    for _ in range(seconds * 10):
        await hass.async_block_till_done()
        if what():
            return
        await asyncio.sleep(0.1)
    pytest.fail("Home Assistant did not get there in time")


@pytest.fixture(autouse=True)
def expected_lingering_tasks():
    return True


@pytest.fixture(autouse=True)
def expected_lingering_timers():
    return True


async def test_watch(hass, socket_enabled, tmp_path):
    (tmp_path / "configuration.yaml").write_text("")
    hass.config.config_dir = str(tmp_path)
    entry = MockConfigEntry(domain="mqtt", data={"broker": "127.0.0.1", "port": int(os.environ["WATCH_PORT"])})
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    run = await asyncio.create_subprocess_exec(*json.loads(os.environ["WATCH_COMMAND"]))
    seen = {}

    def status():
        return {s.state for s in hass.states.async_all("sensor") if s.entity_id.endswith("_status")}

    try:
        await _until(hass, lambda: status() & {"waiting", "warming_up"})
        seen["warming_up"] = _entities(hass)
        await _until(hass, lambda: status() == {"ok"})
        seen["estimating"] = _entities(hass)
        device = next(iter(dr.async_get(hass).devices.values()))
        seen["device"] = {
            "name": device.name, "manufacturer": device.manufacturer, "model": device.model,
            "sw_version": device.sw_version, "identifiers": sorted(map(list, device.identifiers)),
        }  # fmt: skip
        seen["devices"] = len(dr.async_get(hass).devices)
        run.send_signal(signal.SIGKILL)
        await run.wait()
        await _until(hass, lambda: status() == {"unavailable"})
        seen["killed"] = _entities(hass)
    finally:
        if run.returncode is None:
            run.kill()
            await run.wait()
    Path(os.environ["WATCH_OUT"]).write_text(json.dumps(seen, indent=1, default=str))
    await hass.config_entries.async_unload(entry.entry_id)

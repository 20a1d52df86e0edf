"""Hears the verdicts of one station and keeps a gate: what it does not know for good is rejected.

Needs paho-mqtt 2: `pip install paho-mqtt`, then `python subscriber.py 127.0.0.1 factory/L1/S1`.
"""

from __future__ import annotations

import json
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass, field

REMEMBERED = 10_000
HEARTBEAT_S = 3.0

Key = tuple[str, str, str, str, int]


@dataclass
class Gate:
    """What is known of the station. `now` is a clock that never steps, in seconds."""

    heard_at: float = float("-inf")
    state: str = "offline"
    seen: OrderedDict[Key, str] = field(default_factory=OrderedDict)
    opened: OrderedDict[tuple[object, object], bool] = field(default_factory=OrderedDict)

    def watched(self, now: float) -> bool:
        """Whether somebody judges parts; if not, every part is a reject."""
        return self.state in ("ready", "degraded") and now - self.heard_at <= HEARTBEAT_S

    def hear(self, level: str, payload: bytes, now: float) -> dict[str, object] | None:
        """Takes one message. Gives a verdict that is new, and None for everything else."""
        try:
            message = json.loads(payload)
        except ValueError:
            return None
        if not isinstance(message, dict) or message.get("v") != 1:
            return None
        if level == "heartbeat":
            self.heard_at = now
        elif level == "state":
            self.state = str(message.get("state"))
        elif level == "verdict":
            key = (message["line"], message["station"], message["camera"], message["run"], message["seq"])
            if key in self.seen:
                return None
            self.seen[key] = message["verdict"]
            while len(self.seen) > REMEMBERED:
                self.seen.popitem(last=False)
            return message
        return None


def opens(gate: Gate, verdict: dict[str, object] | None, now: float) -> bool:
    """Whether the part goes on: only for a live PASS or REVIEW of a station that is watched.

    A repeat of a mark goes on only if the one before it did. To be asked once for every verdict.
    """
    if verdict is None or verdict["historical"]:
        return False
    on = gate.watched(now) and verdict["verdict"] in ("PASS", "REVIEW")
    mark = (verdict.get("camera"), verdict.get("part"))
    if verdict.get("repeat"):
        on = on and gate.opened.get(mark, False)
    gate.opened[mark] = on
    while len(gate.opened) > REMEMBERED:
        gate.opened.popitem(last=False)
    return on


def main(host: str, station: str) -> None:
    import paho.mqtt.client as mqtt

    gate = Gate()

    def on_connect(client: mqtt.Client, *_: object) -> None:
        client.subscribe([(f"{station}/{level}", 1) for level in ("verdict", "state", "heartbeat")])

    def on_message(_: mqtt.Client, __: object, message: mqtt.MQTTMessage) -> None:
        now = time.monotonic()
        verdict = gate.hear(message.topic.rsplit("/", 1)[-1], message.payload, now)
        if verdict is not None:
            print("on " if opens(gate, verdict, now) else "off", verdict["camera"], verdict["seq"], verdict["verdict"])

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_connect, client.on_message = on_connect, on_message
    client.connect(host)
    client.loop_forever()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: subscriber.py HOST ROOT/LINE/STATION")
    main(sys.argv[1], sys.argv[2])

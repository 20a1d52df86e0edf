"""The Python subscriber on messages as a station sends them, and the buffers of the controllers' sketches."""

import importlib.util
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[2]
PLC = ROOT / "docs/plc"


def subscriber() -> None:
    spec = importlib.util.spec_from_file_location("subscriber", PLC / "subscriber.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["subscriber"] = module
    spec.loader.exec_module(module)
    gate = module.Gate()
    for level, message, want in json.loads((ROOT / "tests/plc/messages.json").read_text()):
        verdict = gate.hear(level, json.dumps(message).encode(), now=10.0)
        on = module.opens(gate, verdict, now=10.0)
        expected = {None: (False, False), "record": (True, False), 0: (True, True), 1: (True, False)}[want]
        assert (verdict is not None, on) == expected, message
    # Silence is reject, and nonsense is nothing.
    gate.state = "ready"
    fresh = {"verdict": "PASS", "historical": False}
    assert module.opens(gate, fresh, now=12.9) and not module.opens(gate, fresh, now=13.1)
    for nonsense in (b"", b"[]", b"{", b'{"v":1}', b"\xff"):
        assert gate.hear("heartbeat" if nonsense == b'{"v":1}' else "verdict", nonsense, now=20.0) is None


def sketches() -> None:
    wire = (ROOT / "crates/diad_publish/src/wire.rs").read_text()
    most = int(re.search(r"MAX_PAYLOAD_BYTES: usize = (\d+)", wire)[1])
    names = (ROOT / "crates/diad_core/src/name.rs").read_text()
    name, mark = (int(re.search(rf"MAX_{what}_BYTES: usize = (\d+)", names)[1]) for what in ("NAME", "MARK"))
    scl, st = (PLC / "siemens.scl").read_text(), (PLC / "beckhoff.st").read_text()
    for text in (scl, st):
        assert int(re.search(r"PAYLOAD_BYTES : U?D?I[Nn][Tt] := (\d+)", text)[1]) >= most
    assert int(re.search(r"payload : Array\[0\.\.(\d+)\]", scl)[1]) + 1 >= most
    assert int(re.search(r"sPayload : STRING\((\d+)\)", st)[1]) >= most
    for text, part, camera in ((scl, r"lastPart : String\[(\d+)\]", r"lastCamera : String\[(\d+)\]"),
                               (st, r"sLastPart : STRING\((\d+)\)", r"sLastCamera : STRING\((\d+)\)")):
        assert int(re.search(part, text)[1]) >= mark and int(re.search(camera, text)[1]) >= name
    # Of the longest message for the gate, camera and mark lie within the text that SCL cuts out of it, the bit in its tail.
    longest = json.dumps(
        {"v": 1, "camera": "x" * name, "seq": 2**64 - 1, "part": "x" * mark, "reject": 1}, separators=(",", ":")
    )
    assert len(longest) == 259, len(longest)
    assert longest.index('","reject"') < int(re.search(r"text : String\[(\d+)\]", scl)[1])
    assert '"reject":1' in longest[-int(re.search(r"tail : String\[(\d+)\]", scl)[1]):]


def gates() -> None:
    """What a sketch must look at before it opens a gate, and that it calls nothing that nobody has written."""
    for name, edge, first, heard, judging, called in (
        ("siemens.scl", "#expected <> #wasExpected", "#lastBit := 1;", "#heard", "#judging", r'"(\w+)"\('),
        ("beckhoff.st", "bExpected <> bWasExpected", "nLastBit := 1;", "bHeard", "bJudging", r"\b(F_\w+)\("),
    ):
        text = (PLC / name).read_text()
        assert re.search(rf"IF {re.escape(edge)} THEN\s+{re.escape(first)}", text), f"{name}: a bit outlives its part"
        watched = re.search(r"[Ww]atched := (.*);", text)[1]
        kept = r"IF #?\w*[lL]astCamera <> .* OR #?\w*[lL]astPart <> .* OR #?\w*[bB]it <> 0 THEN\s+#?\w*[lL]astBit := #?\w*[bB]it;"
        assert re.search(kept, text), f"{name}: a repeat may open the gate again"
        assert f"{heard} AND {judging} AND NOT" in watched, f"{name}: watched without heartbeat and state"
        head, body = text[: text.index("FUNCTION_BLOCK")], text[text.index("FUNCTION_BLOCK") :]
        missing = {f for f in re.findall(called, body)} - {f for f in re.findall(called.replace(r"\(", r"\s*\("), head)}
        assert not missing, f"{name}: {missing} must be listed as to be written"


subscriber()
sketches()
gates()
print("plc: the subscriber decides as it should, and the controllers' buffers are large enough")

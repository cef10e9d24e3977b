"""What a receiver takes in and then plays: scenes as JSON, signed by the harness down to the bulletins inside.

A scene is ``{"at", "sure", "frames": [[topic it comes on, signer, header, body], ...]}``; wherever a body holds
``{"sealed": [signer, header, body]}`` stands that frame as base64, and ``{"sound": text}`` is the text as base64.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from audio.documents import Ceilings, NowKind, Policy, PolicyKey, Quiet, Span, encode
from audio.envelope import Opened, Refused, key_id
from audio.receiver.trust import Content, Instant, Trust, kind_of, policy_topic, read_policy
from audio.timetable import Decision, missed, what_plays
from tests.fuzz import jsons
from tests.fuzz.frames import frame_of
from tests.fuzz.harness import Harness

DEVICE: Final = "23557-L01"
AT: Final = 1_727_776_770_000
"""2024-10-01 16:59:30 +07:00."""
END: Final = 2**60
KEY_END: Final = AT + 30 * 86_400_000
SOUND: Final = "Og" * 40
CONTENT: Final = hashlib.sha256(SOUND.encode()).hexdigest()
ALL: Final = ("normal", "priority", "emergency")
SIGNERS: Final[Mapping[str, tuple[str, str, tuple[str, ...], tuple[str, ...], int]]] = {
    "root": ("root", "root", (), (), END),
    "hub": ("hub", "hub", (), (), END),
    "province": ("64", "issuer", ("64",), ALL, KEY_END),
    "commune": ("23557", "issuer", ("23557",), ("normal", "priority"), END),
    "foreign": ("23560", "issuer", ("23560",), ALL, END),
    "stranger": ("64", "issuer", ("64",), ALL, END),
}
KEYS: Final = {name: Ed25519PrivateKey.from_private_bytes(name.ljust(32).encode()) for name in SIGNERS}
PUBLIC: Final = {n: key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for n, key in KEYS.items()}
POLICY: Final = Policy(
    device=DEVICE,
    units=("23557", "622", "64"),
    groups=("riverside",),
    keys=tuple(
        PolicyKey(
            key_id(PUBLIC[n]), SIGNERS[n][0], base64.b64encode(PUBLIC[n]).decode(), *SIGNERS[n][1:4], 0, SIGNERS[n][4]
        )
        for n in SIGNERS
        if n not in ("root", "stranger")
    ),
    quiet=(Quiet(21 * 60, 5 * 60),),
    exceptions=(Span(AT + 5 * 3_600_000, AT + 6 * 3_600_000),),
    ceilings=Ceilings(80, 60, 100),
)


def header(signer: str, topic: str, **changes: int) -> dict[str, Any]:
    times = {"seq": AT, "issued": AT, "nbf": 0, "exp": END} | changes
    return {"v": 1, "kid": key_id(PUBLIC[signer]), "iss": SIGNERS[signer][0], "topic": topic, **times}


def bulletin(signer: str, cls: str = "normal", **changes: Any) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {
        "id": f"b-{signer}-{cls}",
        "version": 1,
        "cls": cls,
        "kind": "recording",
        "tier": "province",
    }
    body |= {"origin": "64", "title": "Thông báo", "content": CONTENT, "duration": 9_000}
    body |= {"audience": {"units": ["64"], "groups": [], "devices": []}, "valid_from": 0, "valid_until": END}
    body |= {"volume": 100, "resume": "resume", "siren": 0, "times": 1, "every": 0, "text": "", "authority": ""}
    body |= {"supplier": "", "field": "", "language": "vi", "also": [], "follows": "", "script": ""}
    body |= changes
    return body["id"], {"sealed": [signer, header(signer, f"bulletin/{body['id']}"), body]}


def _scene(topic: str, body: Any, signer: str = "hub", sure: bool = True, **changes: int) -> bytes:
    scene = {"at": AT, "sure": sure, "frames": [[topic, signer, header(signer, topic, **changes), body]]}
    return json.dumps(scene, separators=(",", ":"), ensure_ascii=False).encode()


def seeds() -> Iterator[bytes]:
    for signer, cls in (
        ("province", "normal"),
        ("commune", "priority"),
        ("commune", "emergency"),
        ("foreign", "normal"),
    ):
        name, signed = bulletin(signer, cls)
        airings = [
            {"airing": f"a{n}", "bulletin": name, "repeat": n, "start": AT + n * 60_000, "latest": AT + 3_600_000}
            for n in range(2)
        ]
        yield _scene("loa/1/prog/23557", {"unit": "23557", "until": END, "airings": airings, "signed": {name: signed}})
    for kind in ("emergency", "drill", "stop", "follow_up"):
        follows = "b-0" if kind == "follow_up" else ""
        also = [{"language": "jra", "content": CONTENT, "duration": 8_000}]
        more = {"siren": 3000, "times": 2, "every": 60_000, "also": also, "follows": follows}
        name, signed = bulletin("province", "emergency", **more)
        entry = {"entry": "e-1", "kind": kind, "bulletin": name, "start": AT, "until": AT + 900_000}
        carried = {"signed": signed, "sounds": [{"sound": SOUND}]} if kind != "stop" else {"signed": "", "sounds": []}
        entries = [entry | carried | {"reason": "lũ"}]
        yield _scene("loa/1/now/u/64/64", {"entries": entries}, sure=kind != "drill")
        yield _scene("loa/1/now/u/64/64", {"entries": entries}, exp=AT + 1_000)
    yield _scene(policy_topic(DEVICE), json.loads(encode(POLICY)), "root")
    yield _scene(policy_topic(DEVICE), json.loads(encode(POLICY)), "hub")


Seals = list[tuple[str, dict[str, Any], Any]]


def _built(node: Any, seals: Seals) -> Any:
    """The body as it is sent; every bulletin sealed on the way is noted."""
    if isinstance(node, list):
        return [_built(item, seals) for item in node]
    if not isinstance(node, dict):
        return node
    match node:
        case {"sealed": [str(signer), head, body]} if len(node) == 1:
            frame = _frame(signer, head, body)
            whole = isinstance(head, dict) and all(type(head.get(key)) is int for key in ("nbf", "exp"))
            if whole and isinstance(body, dict) and signer in KEYS:
                seals.append((signer, head, body))
            return base64.b64encode(frame).decode()
        case {"sound": str(text)} if len(node) == 1:
            return base64.b64encode(text.encode("utf-8", "replace")).decode()
    return {key: _built(value, seals) for key, value in node.items()}


def _frame(signer: str, head: Any, body: Any) -> bytes:
    texts = [json.dumps(part, separators=(",", ":")).encode() for part in (head, body)]
    return frame_of(texts[0], texts[1], KEYS.get(signer, KEYS["stranger"]))


def check(data: bytes) -> bool:
    try:
        scene = json.loads(data)
        at, sure, frames = scene["at"], scene["sure"], [(str(t), str(s), h, b) for t, s, h, b in scene["frames"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    if type(at) is not int or not 0 <= at < 2**62:
        return False
    accepted = [_take(Instant(at, bool(sure), at), *frame) for frame in frames[:4]]
    return any(accepted)


def _take(instant: Instant, topic: str, signer: str, head: Any, body: Any) -> bool:
    seals: Seals = []
    frame = _frame(signer, head, _built(body, seals))
    trust = Trust(POLICY)
    kind = kind_of(topic, POLICY)
    if kind is None:
        return False
    if kind == "policy":
        return _policy(read_policy(frame, DEVICE, PUBLIC["root"], instant), signer)
    opened = trust.open_hub(frame, topic, instant)
    if isinstance(opened, Refused):
        return False
    assert signer == "hub"
    assert opened.header.topic == topic
    assert opened.header.exp > instant.at
    if kind not in ("prog", "now"):
        return True
    content = trust.read(opened, kind, instant)
    if isinstance(content, Refused):
        return False
    _allowed(content, opened, seals)
    _played(content, instant.at)
    return bool(content.items or content.orders)


def _policy(found: object, signer: str) -> bool:
    """A policy is the root's; whatever it says, the device goes on deciding what plays."""
    if isinstance(found, Refused):
        return False
    assert isinstance(found, tuple)
    assert signer == "root"
    assert found[1].device == DEVICE
    Trust(found[1])
    assert isinstance(what_plays((), (), (), AT, found[1]), Decision)
    return True


def _allowed(content: Content, opened: Opened, seals: Seals) -> None:
    """Whatever may play was signed by an issuer of this place for its class, and ends with the shortest validity."""
    played = [(i.airing.bulletin, i.bulletin, i.airing.latest) for i in content.items]
    played += [(o.names, o.bulletin, o.until) for o in content.orders if o.bulletin is not None]
    for name, said, until in played:
        source = [(s, h) for s, h, b in seals if h.get("topic") == f"bulletin/{name}" and _speaks(s, said.cls, b, name)]
        assert source, f"nobody who may has signed {name}"
        assert until <= opened.header.exp
        assert any(
            said.valid_until <= min(h["exp"], SIGNERS[s][4])
            and said.valid_from >= h["nbf"]
            and h.get("iss") == SIGNERS[s][0]
            for s, h in source
        )
    for order in content.orders:
        assert order.until <= opened.header.exp
        urgent = order.bulletin is None or order.bulletin.cls == "emergency"
        assert urgent or order.kind is not NowKind.EMERGENCY
        assert order.bulletin is None or (order.kind is NowKind.FOLLOW_UP) == bool(order.bulletin.follows)
    for name, sound in content.sounds:
        assert hashlib.sha256(sound).hexdigest() == name


def _speaks(signer: str, cls: str, body: dict[str, Any], name: str) -> bool:
    areas, classes = SIGNERS[signer][2:4]
    mine = signer != "stranger" and bool(set(areas) & set(POLICY.units))
    return mine and cls in classes and body.get("id") == name and body.get("cls") == cls


def _played(content: Content, at: int) -> None:
    """The timetable has an answer at every instant that matters, and a later one to ask again."""
    instants = {at, at + 1, at + 60_000, at + 4 * 3_600_000}
    instants |= {i.airing.start for i in content.items} | {o.start for o in content.orders}
    for now in sorted(instants)[:12]:
        decision = what_plays(content.items, content.orders, (), now, POLICY)
        assert decision.until > now
        if decision.play is not None:
            assert decision.play.ends > now
            assert 0 <= decision.play.bulletin.volume <= 100
        missed(content.items, (), now, POLICY, since=0)


HARNESS: Final = Harness("acceptance", seeds, check, jsons.mutate)

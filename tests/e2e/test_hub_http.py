"""What the running hub tells other systems over HTTP, and that it tells them nothing else."""

from __future__ import annotations

import hashlib
import http.client
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from inventory.model import DeviceId
from tests.e2e.kit import approve, melody, push, router, running, until
from tests.sim.world import ROOT, World
from tui.methods import OVERVIEW, Nothing

pytestmark = pytest.mark.slow

RULES = ROOT / "exporters" / "rules" / "loa.rules.yml"
DEVICE_LABELS = {"device", "kind", "commune", "district", "province", "uplink", "profile"}
ALLOWED_LABELS = DEVICE_LABELS | {"tier", "class", "reason", "indicator", "year"}
SAMPLE = re.compile(r'(?P<name>[a-z_]+)(?:\{(?P<labels>(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (?P<value>\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\.)*)"')


@dataclass(frozen=True)
class Sample:
    name: str
    labels: dict[str, str]
    value: float


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(tmp_path_factory.mktemp("http"), (), poll="1s", units=("622", "23557")) as world:
        until(lambda: world.ask(OVERVIEW, Nothing()).sweep, "the first sweep")
        yield world


def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    """The answer to this very path: nothing is normalised on the way."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.putrequest(method, path, skip_host=False)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read()


def scrape(world: World) -> list[Sample]:
    """The samples of ``/metrics``; every line must be one, or announce a family, exactly once and before it."""
    status, body = get(world.exporter_port, "/metrics")
    assert status == 200
    text = body.decode()
    assert text.endswith("\n")
    types: dict[str, str] = {}
    samples = []
    current = ""
    for line in text.splitlines():
        if line.startswith("# "):
            _, what, name, rest = line.split(" ", 3)
            assert what in ("HELP", "TYPE")
            if what == "TYPE":
                assert name not in types, "a family is announced twice"
                assert rest in ("gauge", "counter")
                types[name] = rest
                current = name
            continue
        found = SAMPLE.fullmatch(line)
        assert found, line
        assert found["name"] == current, "a family's samples stand together, under its name"
        samples.append(Sample(found["name"], dict(LABEL.findall(found["labels"] or "")), float(found["value"])))
    series = Counter((s.name, tuple(sorted(s.labels.items()))) for s in samples)
    assert series.most_common(1)[0][1] == 1, "a series appears twice"
    return samples


def named(samples: list[Sample], name: str) -> list[Sample]:
    return [s for s in samples if s.name == name]


def test_metrics_parse_and_promtool_finds_no_fault(world: World) -> None:
    samples = scrape(world)
    assert set().union(*(s.labels for s in samples)) <= ALLOWED_LABELS
    assert all(s.name.startswith("loa_") for s in samples)
    _, body = get(world.exporter_port, "/metrics")
    checked = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False, timeout=60)
    assert (checked.returncode, checked.stderr.decode()) == (0, "")


def test_every_metric_of_the_alert_rules_is_there_when_it_matters(world: World) -> None:
    """During an emergency, with a device lost behind a modem."""
    used = set(re.findall(r"(?<![\w:])(loa_[a-z_]+)(?![\w:])", RULES.read_text()))
    assert {"loa_device_up", "loa_device_unreachable", "loa_emergency_active", "loa_sweep_age_seconds"} <= used
    assert named(scrape(world), "loa_emergency_active") == []

    alarm = push(world, "23557", "emergency", "Khẩn cấp", "--audio", str(melody(world.folder, 1, 1)))
    approve(world, "23557", alarm)
    modem, _ = router(world)
    world.fleet(fail=[modem])
    until(lambda: named(scrape(world), "loa_device_unreachable"), "something is unreachable")
    samples = scrape(world)
    assert used <= {s.name for s in samples}
    active = [(s.labels, s.value) for s in named(samples, "loa_emergency_active")]
    assert active == [({"commune": "23557"}, 1.0)]
    lost = {s.labels["device"] for s in named(samples, "loa_device_up") if s.value == 0}
    behind = {s.labels["device"]: s.labels["uplink"] for s in named(samples, "loa_device_unreachable")}
    assert lost == {modem, *behind}
    assert set(behind.values()) == {modem}

    world.fleet(heal="all")
    world.loa("all-clear", alarm, user="c23557.approver")
    assert named(scrape(world), "loa_emergency_active") == []


def test_every_device_is_up_under_all_its_labels(world: World) -> None:
    until(lambda: all(s.value == 1 for s in named(scrape(world), "loa_device_up")), "every device is up")
    up = named(scrape(world), "loa_device_up")
    overview = world.ask(OVERVIEW, Nothing())
    assert overview.sweep is not None
    assert len(up) == overview.sweep.polled
    network = world.network()
    assert all(s.labels.keys() == DEVICE_LABELS for s in up)
    for sample in up:
        device = network.devices[DeviceId(sample.labels["device"])]
        assert sample.labels["uplink"] == (device.uplink or device.id)
        assert (sample.labels["kind"], sample.labels["profile"]) == (device.kind, device.profile)
        assert sample.labels["province"] == "64"
        assert sample.labels["district"]
    assert {s.labels["kind"] for s in up if not s.labels["commune"]} <= {"board", "modem"}, "districts own no clusters"


def test_the_exporter_answers_nothing_else(world: World) -> None:
    assert get(world.exporter_port, "/healthz") == (200, b"ok\n")
    for path in ("/", "/metrics/", "/content/", "/../etc/passwd", "/api"):
        assert get(world.exporter_port, path)[0] == 404
    for method in ("POST", "PUT", "DELETE"):
        assert get(world.exporter_port, "/metrics", method)[0] == 405


def test_the_content_server_serves_nothing_but_content(world: World) -> None:
    push(world, "23557", "normal", "Nhạc", "--audio", str(melody(world.folder, 1, 2)))
    library = world.folder / "hub" / "content"
    contents = [p for p in library.rglob("*") if p.is_file() and len(p.name) == 64]
    assert contents
    for path in contents:
        status, body = get(world.content_port, f"/content/{path.name}")
        assert (status, hashlib.sha256(body).hexdigest()) == (200, path.name)

    name = contents[0].name
    (library / name[:2] / f"{name}.note").write_text("no content")
    secret = (world.folder / "keys" / "hub.pem", world.folder / "hub" / "loa.db", world.folder / "community")
    assert all(p.exists() for p in secret)
    refused = [
        *("/", "/content", "/content/", "/content/.", "/content/..", f"/content/{name[:2]}", f"/{name}"),
        *(f"/content/{name}.note", f"/content/{name[:63]}", f"/content/{name}0", f"/content/{name.upper()}"),
        *(f"/content/{name[:2]}/{name}", f"/content/{name[:2]}%2f{name}", f"/content/{'0' * 64}", f"/content/{name}/"),
        *("/content/../loa.db", "/content/..%2floa.db", "/content/%2e%2e/loa.db", "/content/..%5cloa.db"),
        *("/content/..%2f..%2fcommunity", f"/content/{world.folder}/community", "/content/%2fetc%2fpasswd"),
        *("//etc/passwd", "/metrics", "/healthz", f"/content/{name}%00", "/content/%C3%28"),
    ]
    assert {path: get(world.content_port, path)[0] for path in refused} == dict.fromkeys(refused, 404)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert get(world.content_port, f"/content/{name}", method)[0] == 405
    assert get(world.content_port, f"/content/{name}", "HEAD") == (200, b"")

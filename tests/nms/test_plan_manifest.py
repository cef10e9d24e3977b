"""Roles become manifests, each device's its own; what is wrong with them is told with file, line and device."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.diagnostics import Place, Severity
from nms.monitor.snmp.usm import Community
from nms.provision.manifest import engine_id
from nms.provision.roles import templates_digest
from nms.provision.values import Family, Kind, Manifest, digest_of
from nms.vault import Secret
from tests.nms.plan_kit import (
    BOARD,
    CLUSTER,
    GIVEN,
    MODEM,
    OTHER,
    SIGN,
    USER,
    made,
    manifest_of,
    problem_of,
    roles,
    write_roles,
    wrong,
)


def only(manifest: str, **templates: str) -> dict[str, str]:
    """A role of one resource."""
    return {"manifest.yml": f"resources:\n  - {manifest}\n", **{f"{k}.j2": v for k, v in templates.items()}}


def test_a_manifest_is_the_roles_of_the_family_in_their_order(tmp_path: Path) -> None:
    manifest = manifest_of(roles(tmp_path))
    assert list(manifest.resources) == [
        "file:/etc/loa/hub",
        "package:snmpd",
        "service:loa.service",
        "file:/etc/snmp/user",
        "file:/etc/loa/receiver.toml",
        "artifact:/opt/loa/receiver.whl",
        "service:sound.service",
    ]
    toml = manifest.resources["file:/etc/loa/receiver.toml"]
    assert toml.text == 'name = "Nhà rông"\nvolume = 80\n'
    assert toml.attributes == "loa:loa 0640"
    assert toml.digest == digest_of(toml.text, "loa:loa 0640")
    hub = manifest.resources["file:/etc/loa/hub"]
    assert (hub.text, hub.attributes, hub.restarts) == ("address = 10.0.0.1\n", "root:root 0644", ("loa.service",))
    assert manifest.resources["artifact:/opt/loa/receiver.whl"].text == "ab" * 32


def test_devices_differ_where_their_values_do(tmp_path: Path) -> None:
    known = roles(tmp_path)
    board = manifest_of(known, BOARD)
    assert board.resources["file:/etc/loa/board"].text == "small\n"
    assert "service:sound.service" not in board.resources
    assert manifest_of(known, CLUSTER).digest != manifest_of(known, OTHER).digest
    assert manifest_of(known, CLUSTER).digest == manifest_of(known, CLUSTER).digest
    modem = manifest_of(known, MODEM)
    assert modem.family is Family.UCI
    assert [(r.kind, r.name, r.text) for r in modem.resources.values()] == [
        (Kind.OPTION, "network.wwan.apn", "v-internet")
    ]


def test_what_many_devices_share_is_rendered_for_each_as_if_alone(tmp_path: Path) -> None:
    known = roles(tmp_path)
    together = made(known, devices=[CLUSTER, OTHER, BOARD])
    for device in (CLUSTER, OTHER, BOARD):
        one = together[device]
        assert isinstance(one, Manifest)
        assert dict(one.resources) == dict(manifest_of(known, device).resources)


def test_a_device_knows_its_own_snmp_keys_and_no_password(tmp_path: Path) -> None:
    text = manifest_of(roles(tmp_path)).resources["file:/etc/snmp/user"].text
    auth, priv = USER.keys(engine_id(CLUSTER))
    assert text == f"loa 80001f8804{CLUSTER.encode().hex()} {auth.hex()} {priv.hex()}\n"
    assert len(engine_id(CLUSTER)) <= 32


def test_texts_are_composed(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Yên Đỗ")
    manifest = manifest_of(roles(tmp_path, board=only("{file: /x, template: x.j2}", x=decomposed)), BOARD)
    assert manifest.resources["file:/x"].text == "Yên Đỗ"


def test_a_secret_is_in_no_repr(tmp_path: Path) -> None:
    role = only("{file: /wifi, template: wifi.j2, secret: true}", wifi="{{ secret.wifi }}\n")
    manifest = manifest_of(roles(tmp_path, board=role), BOARD)
    assert manifest.resources["file:/wifi"].text == "mật khẩu rất dài\n"
    assert "mật khẩu" not in repr(manifest)
    assert "mật khẩu" not in repr(GIVEN)


def test_a_secret_that_people_would_see_is_refused(tmp_path: Path) -> None:
    role = only("{file: /wifi, template: wifi.j2}", wifi="# wifi\npassword = {{ secret.wifi }}\n")
    (problem,) = wrong(tmp_path, board=role)
    assert problem.code == "PLN205"
    assert problem.place == Place("roles/board/templates/wifi.j2", 2, 1)


def test_a_variable_that_is_not_there_is_told_with_template_line_and_device(tmp_path: Path) -> None:
    known = roles(tmp_path, board=only("{file: /x, template: x.j2}", x="a\n\n{{ loa_bord.size }}\n"))
    problem = problem_of(known, BOARD)
    assert problem.code == "PLN204"
    assert problem.place == Place("roles/board/templates/x.j2", 3, 1)
    assert problem.fields["device"] == BOARD
    assert "'loa_bord' is undefined" in problem.text()
    assert isinstance(made(known)[CLUSTER], Manifest)  # the others are planned


def test_an_option_is_placed_in_the_manifest_itself(tmp_path: Path) -> None:
    text = "resources:\n  - option: a\n    value: |\n      one\n      {{ loa_nothing }}\n"
    problem = problem_of(roles(tmp_path, uci={"manifest.yml": text}), MODEM)
    assert (problem.code, problem.place) == ("PLN204", Place("roles/uci/manifest.yml", 5, 1))


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ loa_hub.update({'name': 'x'}) }}",
        "{{ range(10000000) | list }}",
        "{{ 1 // 0 }}",
    ],
)
def test_a_template_does_no_harm(tmp_path: Path, template: str) -> None:
    problem = problem_of(roles(tmp_path, board=only("{file: /x, template: x.j2}", x=template)), BOARD)
    assert problem.code == "PLN204"


@pytest.mark.parametrize(
    ("template", "reason"),
    [("{% include 'y.j2' %}", "one file"), ("{% if %}", "Expected"), ("{{ a", "unexpected end")],
)
def test_a_template_that_cannot_be_read(tmp_path: Path, template: str, reason: str) -> None:
    (problem,) = wrong(tmp_path, board=only("{file: /x, template: x.j2}", x="\n" + template))
    assert (problem.code, problem.place.line) == ("PLN203", 2)
    assert reason in problem.text()


@pytest.mark.parametrize(
    ("resource", "code", "word"),
    [
        ("{file: /x, template: y.j2}", "PLN203", "No such file"),
        ("{file: /x, templat: x.j2}", "PLN202", "'templat'"),
        ("{file: /x}", "PLN202", "'file'"),
        ("{fiel: /x}", "PLN202", "'fiel'"),
        ("{service: x, state: started}", "PLN202", "'started'"),
        ("{package: x, secret: true}", "PLN202", "'secret'"),
        ("{option: a, value: b, secret: maybe}", "PLN202", "'maybe'"),
        ("{option: a, value: [b]}", "PLN202", "'[…]'"),
        ("{option: a, option: b, value: c}", "PLN202", "'option'"),
        ("{option: a, value: b, when: 'x ==='}", "PLN203", "unexpected '='"),
        ("{option: a, value: b, secret: true, when: 'secret.wifi'}", "PLN205", "secret"),
        ("{option: a, value: b, restarts: x}", "PLN202", "'x'"),
        ("nothing", "PLN202", "'nothing'"),
    ],
)
def test_a_resource_that_is_not_understood(tmp_path: Path, resource: str, code: str, word: str) -> None:
    (problem,) = wrong(tmp_path, board=only(resource))
    assert problem.code == code
    assert problem.place.file.startswith("roles/board/")
    assert word in problem.text()


@pytest.mark.parametrize("text", ["resource: []\n", "[]\n", "", "resources: [\n", "resources: {}\n", "\x00"])
def test_a_role_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (problem,) = wrong(tmp_path, board={"manifest.yml": text})
    assert (problem.code, problem.place.file) == ("PLN201", "roles/board/manifest.yml")


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    bad = only("{file: /x, template: missing.j2}")
    assert [p.place.file for p in wrong(tmp_path, board=bad, uci=bad)] == [
        "roles/board/templates/missing.j2",
        "roles/uci/templates/missing.j2",
    ]


def test_a_role_that_is_missing(tmp_path: Path) -> None:
    known = roles(tmp_path)
    (tmp_path / "roles/snmp/manifest.yml").unlink()
    problem = problem_of(replace(known, specs={k: v for k, v in known.specs.items() if k != "snmp"}))
    assert (problem.code, problem.fields["role"]) == ("PLN200", "snmp")


def test_the_same_thing_twice(tmp_path: Path) -> None:
    twice = {"manifest.yml": "resources:\n  - {option: a, value: b}\n  - {option: a, value: c}\n"}
    problem = problem_of(roles(tmp_path, uci=twice), MODEM)
    assert (problem.code, problem.place.line) == ("PLN208", 3)


def test_a_program_that_the_hub_does_not_have(tmp_path: Path) -> None:
    assert problem_of(roles(tmp_path), given=replace(GIVEN, artifacts={})).code == "PLN206"


def test_a_device_that_is_only_watched_is_a_warning(tmp_path: Path) -> None:
    problem = problem_of(roles(tmp_path), SIGN)
    assert (problem.code, problem.severity) == ("PLN207", Severity.WARNING)


def test_without_snmpv3_there_are_no_keys(tmp_path: Path) -> None:
    given = replace(GIVEN, security=Community(b"public"), secrets={"snmp_community": Secret("public")})
    role = only("{file: /x, template: x.j2}", x="{{ loa_snmp.version }}{{ loa_snmp.user }}")
    problem = problem_of(roles(tmp_path, board=role), BOARD, given)
    assert "snmp_auth_key" in problem.text()
    plain = only("{file: /x, template: x.j2, when: \"loa_snmp.version == '3'\"}", x="")
    manifest = manifest_of(roles(tmp_path, snmp=plain, board=role), BOARD, given)
    assert manifest.resources["file:/x"].text == "2c"


def test_the_digest_of_templates_follows_their_bytes_and_nothing_else(tmp_path: Path) -> None:
    write_roles(tmp_path)
    before = templates_digest(tmp_path)
    (tmp_path / "roles/hub_database/templates").mkdir(parents=True)
    (tmp_path / "roles/hub_database/templates/x.j2").write_text("a role without a manifest")
    (tmp_path / "roles/base/templates/.hub.j2.swp").write_text("an editor's")
    assert templates_digest(tmp_path) == before
    (tmp_path / "roles/base/templates/hub.j2").write_text("other\n")
    changed = templates_digest(tmp_path)
    assert changed != before
    (tmp_path / "roles/base/templates/hub.j2").rename(tmp_path / "roles/base/templates/hab.j2")
    assert templates_digest(tmp_path) not in (before, changed)

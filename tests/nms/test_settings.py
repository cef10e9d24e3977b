"""Settings: who wins, who said so, every mistake at once; secrets that never print."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory.diagnostics import Diagnostic, Severity, render
from nms.settings import Loaded, Secret, Settings, load, secrets, shifted_clock

SHIFT = "2024-10-01T16:59:30+07:00@1795000000.0"


@dataclass(frozen=True)
class Machine:
    """A machine's two configuration files and its environment."""

    folder: Path

    @property
    def system(self) -> Path:
        return self.folder / "etc" / "config.yaml"

    @property
    def user(self) -> Path:
        return self.folder / "xdg" / "loa" / "config.yaml"

    def write(self, path: Path, text: str | bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def load(
        self, flags: Mapping[str, str | None] | None = None, *, uid: int = 1000, **environ: str
    ) -> Loaded | tuple[Diagnostic, ...]:
        base = {"HOME": "/home/an", "XDG_CONFIG_HOME": str(self.folder / "xdg"), "PATH": "/bin"}
        return load(flags or {}, base | dict(environ), uid=uid, system=self.system)

    def loaded(self, flags: Mapping[str, str | None] | None = None, *, uid: int = 1000, **environ: str) -> Loaded:
        result = self.load(flags, uid=uid, **environ)
        assert isinstance(result, Loaded), [render(d) for d in result]
        return result

    def refused(self, flags: Mapping[str, str | None] | None = None, **environ: str) -> tuple[Diagnostic, ...]:
        result = self.load(flags, uid=1000, **environ)
        assert not isinstance(result, Loaded)
        return result


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_defaults_need_no_file_and_point_at_the_sample(machine: Machine) -> None:
    loaded = machine.loaded()
    got = loaded.settings
    assert (got.inventory.name, got.inventory.parent.name) == ("gia-lai", "inventory")
    assert got.state_dir == Path("/home/an/.local/state/loa")
    assert got.socket == got.state_dir / "hub.sock"
    assert got.store == "sqlite:////home/an/.local/state/loa/loa.db"
    assert (got.exporter_port, got.language, got.clock) == (9740, "vi", None)
    assert set(loaded.origins.values()) == {"default"}
    assert set(loaded.origins) == {field.name for field in fields(Settings)}


def test_what_the_sound_library_is_told(machine: Machine) -> None:
    assert (machine.loaded().settings.content_days, machine.loaded().settings.mp3) == (30, False)
    machine.write(machine.system, "content_days: 90\nmp3: true\n")
    got = machine.loaded(LOA_CONTENT_DAYS="8").settings
    assert (got.content_days, got.mp3) == (8, True)
    assert machine.loaded(LOA_MP3="false").settings.mp3 is False
    found = machine.refused({}, LOA_CONTENT_DAYS="7", LOA_MP3="yes")
    assert [d.code for d in found] == ["CFG002", "CFG002"]


def test_root_keeps_state_where_the_system_does(machine: Machine) -> None:
    assert machine.loaded(uid=0).settings.state_dir == Path("/var/lib/loa")
    assert machine.loaded(XDG_STATE_HOME="/srv/state").settings.state_dir == Path("/srv/state/loa")
    assert machine.loaded(XDG_STATE_HOME="relative").settings.state_dir == Path("/home/an/.local/state/loa")


def test_the_nearest_source_wins_and_is_named(machine: Machine) -> None:
    lines = [f"{name}: {port}" for name in ("mqtt_port", "snmp_port", "exporter_port", "content_port") for port in [1]]
    machine.write(machine.system, "# hệ thống\n" + "\n".join(lines))
    machine.write(machine.user, "snmp_port: 2\nexporter_port: 2\ncontent_port: '2'\n")
    loaded = machine.loaded({"content_port": "4", "mqtt_port": None}, LOA_EXPORTER_PORT="3", LOA_CONTENT_PORT="3")
    got = loaded.settings
    assert (got.mqtt_port, got.snmp_port, got.exporter_port, got.content_port) == (1, 2, 3, 4)
    assert [loaded.origins[n] for n in ("mqtt_port", "snmp_port", "exporter_port", "content_port", "language")] == [
        f"{machine.system}:2:1",
        f"{machine.user}:1:1",
        "LOA_EXPORTER_PORT",
        "--content-port",
        "default",
    ]


def test_paths_in_a_file_are_meant_from_that_file(machine: Machine) -> None:
    machine.write(machine.user, "inventory: tinh/gia-lai\nstate_dir: /srv/loa\nstore: kho.db\n")
    got = machine.loaded().settings
    assert got.inventory == machine.user.parent / "tinh" / "gia-lai"
    assert got.store == f"sqlite:///{machine.user.parent / 'kho.db'}"
    assert (got.socket, got.keys) == (Path("/srv/loa/hub.sock"), Path("/srv/loa/keys"))


def test_all_mistakes_of_all_sources_are_told_at_once(machine: Machine) -> None:
    machine.write(machine.system, "mqtt_prot: 1883\nsnmp_timeout: 2\nexporter_port: 9740\nexporter_port: 9741\n")
    found = machine.refused({"language": "fr", "overlay": "0"}, LOA_MQTT_PORT="65536", LOA_INVENTROY="/x")
    assert [(d.code, str(d.place), d.severity) for d in found] == [
        ("CFG006", f"{machine.system}:4:1", Severity.ERROR),
        ("CFG001", "LOA_INVENTROY", Severity.WARNING),
        ("CFG001", f"{machine.system}:1:1", Severity.ERROR),
        ("CFG002", f"{machine.system}:2:1", Severity.ERROR),
        ("CFG002", "LOA_MQTT_PORT", Severity.ERROR),
        ("CFG004", "--language", Severity.ERROR),
        ("CFG002", "--overlay", Severity.ERROR),
    ]
    assert "did you mean 'LOA_INVENTORY'?" in render(found[1])
    shown = render(found[2])
    assert "mqtt_prot: 1883" in shown
    assert "^ did you mean 'mqtt_port'?" in shown


def test_how_texts_are_spoken(machine: Machine) -> None:
    usual = machine.loaded().settings
    assert (usual.speech_accent, usual.speech_speed, usual.speech_model) == ("north", 175, None)
    machine.write(machine.user, "speech_accent: south\nspeech_speed: 150\nspeech_model: voices/vi.onnx\n")
    got = machine.loaded().settings
    assert (got.speech_accent, got.speech_speed) == ("south", 150)
    assert got.speech_model == machine.user.parent / "voices" / "vi.onnx"
    found = machine.refused({}, LOA_SPEECH_ACCENT="east", LOA_SPEECH_SPEED="99")
    assert [(d.code, str(d.place)) for d in found] == [
        ("CFG002", "LOA_SPEECH_ACCENT"),
        ("CFG002", "LOA_SPEECH_SPEED"),
    ]


def test_an_odd_variable_alone_is_a_warning(machine: Machine) -> None:
    assert [d.code for d in machine.loaded(LOA_NONSENSE="1").warnings] == ["CFG001"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b"mqtt_port: '1\n", ":2:1"),
        (b"mqtt_port: [1]\n", ":1:12"),
        (b"mqtt: {port: 1}\n", ":1:7"),
        (b"- mqtt_port\n", ":1:1"),
        (b"mqtt_port\n", ":1:1"),
        (b"mqtt_port: &a 1\n", ":1:12"),
        (b"mqtt_port: !!python/name:os.system 1\n", ":1:12"),
        (b"mqtt_port: 1\n---\nmqtt_port: 2\n", ":2:1"),
        (b"1\n--- 2\n", ":1:1"),
        (b"a: 1\n--- 2\n--- 3\n", ":2:1"),
        (b"\tmqtt_port: 1\n", ":1:1"),
        (b"mqtt_port: \xff\n", ""),
        (b"\x00\x01\x02", ""),
        (b"[" * 200_000, ":1:1"),
    ],
)
def test_a_file_that_is_no_list_of_settings_is_one_diagnostic(machine: Machine, text: bytes, place: str) -> None:
    machine.write(machine.user, text)
    (found,) = machine.refused()
    assert found.code == "CFG003"
    assert str(found.place).startswith(str(machine.user))
    assert str(found.place).endswith(place)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "{}\n"])
def test_an_empty_file_says_nothing(machine: Machine, text: str) -> None:
    machine.write(machine.user, text)
    assert set(machine.loaded().origins.values()) == {"default"}


def test_a_folder_in_place_of_the_file_is_told(machine: Machine) -> None:
    machine.user.mkdir(parents=True)
    assert [d.code for d in machine.refused()] == ["CFG003"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mqtt_port", ""),
        ("mqtt_port", "-1"),
        ("mqtt_port", "１８８３"),
        ("snmp_interval", "0s"),
        ("snmp_interval", "60"),
        ("snmp_timeout", "1d"),
        ("clock", "2024-10-01T16:59:30+07:00"),
        ("clock", "2024-10-01T16:59:30@1795000000"),
        ("clock", "2024-10-01T16:59:30+07:00@nan"),
        ("mqtt_host", "a b"),
        ("inventory", ""),
        ("inventory", "~no-such-user/x"),
        ("overlay", "10.0"),
        ("language", "VI"),
    ],
)
def test_values_that_are_refused(machine: Machine, name: str, text: str) -> None:
    (found,) = machine.refused({name: text})
    assert found.code == ("CFG004" if name == "language" else "CFG002")
    assert found.fix_text()


@pytest.mark.parametrize(
    "url", ["postgresql://loa:s3cret@db/loa", "postgresql://db/loa?user=loa&password=s3cret", "postgresql://:s3cret@db"]
)
def test_a_password_in_the_store_url_is_refused_and_not_shown(machine: Machine, url: str) -> None:
    machine.write(machine.user, f"store: {url}\n")
    (found,) = machine.refused()
    assert found.code == "CFG005"
    assert "s3cret" not in render(found) + repr(found)
    machine.write(machine.user, "store: postgresql://loa@db/loa\n")
    assert machine.loaded().settings.store == "postgresql://loa@db/loa"


def test_durations_are_seconds(machine: Machine) -> None:
    got = machine.loaded({"snmp_interval": "1.5m", "snmp_timeout": "90s"}).settings
    assert (got.snmp_interval, got.snmp_timeout) == (90.0, 90.0)


def test_processes_given_the_same_clock_agree(machine: Machine) -> None:
    clock = machine.loaded(LOA_CLOCK=SHIFT).settings.clock
    assert clock is not None
    assert machine.loaded({"clock": str(clock)}).settings.clock == clock
    start, origin = clock.start, clock.origin
    program = (
        "import sys\nfrom datetime import datetime\nfrom nms.settings import shifted_clock\n"
        "print(shifted_clock(datetime.fromisoformat(sys.argv[1]), float(sys.argv[2]))().isoformat())"
    )
    before = shifted_clock(start, origin)()
    command = [sys.executable, "-c", program, start.isoformat(), repr(origin)]
    theirs = datetime.fromisoformat(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    assert before <= theirs <= shifted_clock(start, origin)()
    assert theirs.utcoffset() == timedelta(0)


def test_without_a_clock_it_is_now(machine: Machine) -> None:
    before = datetime.now(UTC)
    assert before <= machine.loaded().settings.make_clock()() <= datetime.now(UTC)


# --- secrets -------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.text(min_size=4))
def test_a_secret_is_only_what_reveal_returns(text: str) -> None:
    secret = Secret(text)
    assert secret.reveal() == text
    assert [repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret:>10}", "%s" % secret] == [  # noqa: UP031
        "<secret>",
        "<secret>",
        "<secret>",
        "<secret>",
        "  <secret>",
        "<secret>",
    ]
    assert secret == Secret(text)
    assert secret != text
    assert hash(secret) == hash(Secret(text))


def test_a_secret_does_not_leave_by_other_doors(caplog: pytest.LogCaptureFixture) -> None:
    @dataclass(frozen=True)
    class Holder:
        community: Secret

    secret = Secret("hunter2")
    for leave in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, vars, lambda s: asdict(Holder(s))):
        with pytest.raises(TypeError) as refused:
            leave(secret)
        assert "hunter2" not in str(refused.value)
    logging.getLogger("loa").warning("%s %r", Holder(secret), secret)
    assert "hunter2" not in caplog.text
    assert "<secret>" in caplog.text


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "vault-password"
    file.write_text("mật khẩu dài\n", encoding="utf-8")
    file.chmod(0o600)
    return file


def encrypted(folder: Path, password: Path, text: str) -> Path:
    """``secrets.yaml`` as the real ansible-vault writes it."""
    file = folder / "secrets.yaml"
    file.write_text(text, encoding="utf-8")
    program = Path(sys.executable).with_name("ansible-vault")
    command = [str(program), "encrypt", "--vault-password-file", str(password), str(file)]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    subprocess.run(command, check=True, capture_output=True, env=environ)
    assert file.read_bytes().startswith(b"$ANSIBLE_VAULT;")
    return file


def code(result: Mapping[str, Secret] | tuple[Diagnostic, ...]) -> str:
    assert isinstance(result, tuple)
    (found,) = result
    assert "hunter2" not in render(found) + repr(found)
    return found.code


def test_secrets_made_by_ansible_vault_are_read(tmp_path: Path, password: Path) -> None:
    file = encrypted(tmp_path, password, "snmp_auth: hunter2\nmqtt: 'đường dài: 007'\n")
    read = secrets(tmp_path, password)
    assert isinstance(read, Mapping)
    assert {name: secret.reveal() for name, secret in read.items()} == {
        "snmp_auth": "hunter2",
        "mqtt": "đường dài: 007",
    }
    assert "hunter2" not in repr(read)

    wrong = tmp_path / "wrong"
    wrong.write_text("other")
    wrong.chmod(0o600)
    assert code(secrets(tmp_path, wrong)) == "CFG009"
    file.write_bytes(file.read_bytes()[:-20])
    assert code(secrets(tmp_path, password)) == "CFG009"
    file.write_text("$ANSIBLE_VAULT;9.9;ROT13\nhunter2\n")
    assert code(secrets(tmp_path, password)) == "CFG009"


def test_decrypted_content_that_is_no_list_of_secrets_is_told_without_showing_it(
    tmp_path: Path, password: Path
) -> None:
    encrypted(tmp_path, password, "snmp: [hunter2]\n")
    assert code(secrets(tmp_path, password)) == "CFG003"


def test_plain_secrets_are_refused(tmp_path: Path, password: Path) -> None:
    (tmp_path / "secrets.yaml").write_text("snmp_auth: hunter2\n")
    assert code(secrets(tmp_path, password)) == "CFG008"


def test_no_secrets_file_means_no_secrets(tmp_path: Path, password: Path) -> None:
    assert secrets(tmp_path, password) == {}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o610])
def test_a_password_file_open_to_others_is_refused(tmp_path: Path, password: Path, mode: int) -> None:
    (tmp_path / "secrets.yaml").write_bytes(b"$ANSIBLE_VAULT;1.1;AES256\n3030\n")
    password.chmod(mode)
    assert code(secrets(tmp_path, password)) == "CFG007"


def test_a_password_that_is_not_there_or_empty_is_refused(tmp_path: Path, password: Path) -> None:
    (tmp_path / "secrets.yaml").write_bytes(b"$ANSIBLE_VAULT;1.1;AES256\n3030\n")
    assert code(secrets(tmp_path, tmp_path / "none")) == "CFG007"
    assert code(secrets(tmp_path, tmp_path)) == "CFG007"
    password.write_text("\n")
    assert code(secrets(tmp_path, password)) == "CFG007"

"""A plan is the difference between what is wanted and what was found, in words for people and without any secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from inventory.model import DeviceId
from nms.provision import plan as plans
from nms.provision import planfile
from nms.provision.plan import changes_of, drifted, make, state_left, state_wanted
from nms.provision.values import (
    Action,
    Change,
    DevicePlan,
    Facts,
    Family,
    Kind,
    Manifest,
    Observed,
    Plan,
    Resource,
    digest_of,
)
from tests.nms.plan_kit import NOW

DEVICE = DeviceId("23557-L01")
MODE = "root:root 0644"


def file(text: str, name: str = "/etc/x", secret: bool = False) -> Resource:
    return Resource(Kind.FILE, name, text, MODE, secret)


def wanted(*resources: Resource) -> Manifest:
    return Manifest(DEVICE, Family.LINUX, {one.key: one for one in resources})


def seen(text: str, attributes: str = MODE) -> Observed:
    return Observed(digest_of(text, attributes), text)


def facts(found: Mapping[str, Observed], applied: Mapping[str, str] | None = None) -> Facts:
    return Facts(DEVICE, NOW, found, applied or {})


def changes(manifest: Manifest, known: Facts) -> list[tuple[Action, str, tuple[str, ...]]]:
    return [(c.action, c.name, c.diff) for c in changes_of(manifest, known)]


def test_what_is_not_there_is_created_with_all_its_lines() -> None:
    expected = ("+root:root 0644", "@@ -0,0 +1,2 @@", "+a", "+b")
    assert changes(wanted(file("a\nb\n")), facts({})) == [(Action.CREATE, "/etc/x", expected)]


def test_what_is_as_wanted_is_not_mentioned() -> None:
    manifest = wanted(file("a\n"))
    assert changes(manifest, facts({"file:/etc/x": seen("a\n")})) == []
    part = make(manifest, facts({"file:/etc/x": seen("a\n")}))
    assert (part.changes, part.wanted, part.known_at) == ((), manifest.digest, NOW)


def test_what_the_inventory_changed_shows_the_lines_that_differ() -> None:
    known = facts({"file:/etc/x": seen("a\nb\nc\n")}, {"file:/etc/x": digest_of("a\nb\nc\n", MODE)})
    expected = ("@@ -1,3 +1,3 @@", " a", "-b", "+B", " c")
    assert changes(wanted(file("a\nB\nc\n")), known) == [(Action.CHANGE, "/etc/x", expected)]


def test_what_a_person_changed_is_drift_and_shows_the_line() -> None:
    left = digest_of("a\nb\n", MODE)
    known = facts({"file:/etc/x": seen("a\nb\nby hand\n")}, {"file:/etc/x": left})
    expected = ("@@ -1,3 +1,2 @@", " a", " b", "-by hand")
    assert changes(wanted(file("a\nb\n")), known) == [(Action.DRIFT, "/etc/x", expected)]
    assert drifted(known) == ("file:/etc/x",)


def test_both_at_once_is_one_change_from_what_was_found_to_what_is_wanted() -> None:
    known = facts({"file:/etc/x": seen("by hand\n")}, {"file:/etc/x": digest_of("old\n", MODE)})
    assert changes(wanted(file("new\n")), known) == [
        (Action.DRIFT, "/etc/x", ("@@ -1 +1 @@", "-by hand", "+new")),
    ]


def test_what_a_person_removed_is_drift() -> None:
    known = facts({}, {"file:/etc/x": digest_of("a\n", MODE)})
    ((action, _, diff),) = changes(wanted(file("a\n")), known)
    assert (action, diff[-1]) == (Action.DRIFT, "+a")


def test_what_a_person_brought_to_what_is_wanted_needs_nothing() -> None:
    known = facts({"file:/etc/x": seen("new\n")}, {"file:/etc/x": digest_of("old\n", MODE)})
    assert changes(wanted(file("new\n")), known) == []


def test_what_loa_once_applied_and_no_longer_wants_is_removed_last() -> None:
    known = facts({"file:/etc/old": seen("secret of old")}, {"file:/etc/old": "x", "service:old.service": "y"})
    assert changes(wanted(file("a\n")), known)[1:] == [
        (Action.REMOVE, "/etc/old", ()),
        (Action.REMOVE, "old.service", ()),
    ]


def test_only_owner_or_mode() -> None:
    known = facts({"file:/etc/x": seen("a\n", "root:root 0600")})
    assert changes(wanted(file("a\n")), known) == [(Action.CHANGE, "/etc/x", ("+root:root 0644",))]


def test_services_packages_programs_and_options_are_words() -> None:
    manifest = wanted(
        Resource(Kind.SERVICE, "a", "enabled running"),
        Resource(Kind.PACKAGE, "b", "2"),
        Resource(Kind.PACKAGE, "c", ""),
        Resource(Kind.ARTIFACT, "/d", "ab" * 32),
        Resource(Kind.OPTION, "e", "v-internet"),
        Resource(Kind.OPTION, "f", ""),
    )
    known = facts(
        {
            "service:a": seen("disabled stopped", ""),
            "package:b": seen("1", ""),
            "artifact:/d": seen("cd" * 32, ""),
            "option:e": Observed("binary"),
        }
    )
    assert changes(manifest, known) == [
        (Action.CHANGE, "a", ("-disabled stopped", "+enabled running")),
        (Action.CHANGE, "b", ("-1", "+2")),
        (Action.CREATE, "c", ()),
        (Action.CHANGE, "/d", ("-cdcdcdcdcdcd", "+abababababab")),
        (Action.CHANGE, "e", ("-<not kept>", "+v-internet")),
        (Action.CREATE, "f", ()),
    ]


def test_any_version_of_a_package_will_do_and_its_upgrade_is_no_drift() -> None:
    manifest = wanted(Resource(Kind.PACKAGE, "snmpd", ""))
    known = facts({"package:snmpd": seen("5.9.3", "")}, {"package:snmpd": digest_of("")})
    assert changes(manifest, known) == []
    assert drifted(known) == ()
    assert state_left(known) == state_wanted(manifest)


def test_a_secret_is_a_word() -> None:
    manifest = wanted(file("new password", secret=True))
    assert changes(manifest, facts({})) == [(Action.CREATE, "/etc/x", ("+<secret>",))]
    told = facts({"file:/etc/x": seen("old password")})  # a device should not have told it
    assert changes(manifest, told) == [(Action.CHANGE, "/etc/x", ("-<secret>", "+<secret>"))]


def test_a_text_that_is_not_kept_is_a_word() -> None:
    known = facts({"file:/etc/x": Observed("binary")})
    assert changes(wanted(file("a\n")), known) == [(Action.CHANGE, "/etc/x", ("-<not kept>", "+root:root 0644"))]


def test_what_a_device_says_cannot_steer_a_terminal() -> None:
    known = facts({"file:/etc/x": seen("\x1b[2J\ra\u202eb\tĐỗ\n")})
    ((_, _, diff),) = changes(wanted(file("\n")), known)
    assert diff == ("@@ -1 +1 @@", "-\\x1b[2J\\x0da\\x202eb\tĐỗ", "+")


def test_a_last_line_without_an_end_differs_from_one_with() -> None:
    known = facts({"file:/etc/x": seen("a")})
    ((_, _, diff),) = changes(wanted(file("a\n")), known)
    assert diff == ("@@ -1 +1 @@", "-a", "\\ No newline at end of file", "+a")


def test_without_facts_only_that_nothing_is_known() -> None:
    part = make(wanted(file("a\n")), None, NOW)
    assert (part.known, part.known_at, part.changes, part.unreachable_since) == ("", None, (), NOW)


def test_a_report_of_drift_leaves_out_what_the_inventory_changed() -> None:
    changed = tuple(Change(action, Kind.FILE, str(action)) for action in Action)
    devices = (DevicePlan(DEVICE, Family.LINUX, "w", "k", NOW, changed), DevicePlan(DEVICE, Family.LINUX, "w"))
    report = plans.only_drift(Plan("1", NOW, "lan", "", {}, devices))
    assert [c.action for d in report.devices for c in d.changes] == [Action.DRIFT]
    assert plans.counts(devices) == dict.fromkeys(Action, 1)


NAMES = st.sampled_from(["/a", "/b", "/c", "/d"])
TEXTS = st.text("ab\n\r\x1bé", max_size=12)
RESOURCES = st.builds(Resource, st.sampled_from(Kind), NAMES, TEXTS, st.sampled_from(["", "x:x 0600"]), st.booleans())
MANIFESTS = st.lists(RESOURCES, max_size=6).map(lambda some: wanted(*some))
KEYS = st.builds(lambda kind, name: f"{kind}:{name}", st.sampled_from(Kind), NAMES)
SEEN = st.builds(
    lambda text, attributes, kept: Observed(digest_of(text, attributes), text if kept else None),
    TEXTS,
    st.sampled_from(["", "x:x 0600"]),
    st.booleans(),
)
FACTS = st.builds(
    facts,
    st.dictionaries(KEYS, SEEN, max_size=6),
    st.dictionaries(KEYS, TEXTS.map(digest_of) | st.just(digest_of("")), max_size=6),
)


def done(manifest: Manifest, known: Facts) -> Facts:
    """The facts of the device once the changes are made."""
    found, applied = dict(known.found), dict(known.applied)
    for change in changes_of(manifest, known):
        key = f"{change.kind}:{change.name}"
        if change.action is Action.REMOVE:
            found.pop(key, None)
            del applied[key]
        else:
            one = manifest.resources[key]
            found[key], applied[key] = Observed(one.digest, one.text), one.digest
    return replace(known, found=found, applied=applied)


@given(MANIFESTS, FACTS)
def test_a_plan_that_was_done_leaves_nothing_to_do(manifest: Manifest, known: Facts) -> None:
    assert list(changes_of(manifest, done(manifest, known))) == []


@given(MANIFESTS, FACTS)
def test_the_order_is_the_manifests_and_each_resource_stands_once(manifest: Manifest, known: Facts) -> None:
    names = [f"{c.kind}:{c.name}" for c in changes_of(manifest, known) if c.action is not Action.REMOVE]
    assert names == [key for key in manifest.resources if key in names]
    assert list(changes_of(manifest, known)) == list(changes_of(manifest, known))


@given(MANIFESTS, FACTS)
def test_equal_states_mean_no_changes(manifest: Manifest, known: Facts) -> None:
    """Whoever compares only these two digests never overlooks a change."""
    if state_left(known) == state_wanted(manifest):
        assert list(changes_of(manifest, known)) == []


@given(MANIFESTS)
def test_a_device_that_is_as_loa_left_it_has_the_state_that_is_wanted(manifest: Manifest) -> None:
    found = {key: Observed(one.digest, one.text) for key, one in manifest.resources.items()}
    left = facts(found, {key: one.digest for key, one in manifest.resources.items()})
    assert state_left(left) == state_wanted(manifest)


@given(MANIFESTS, FACTS, st.sampled_from(["Mật khẩu", "hunter2"]))
def test_no_secret_is_in_a_plan(manifest: Manifest, known: Facts, word: str) -> None:
    hidden = {key: replace(one, text=word + one.text, secret=True) for key, one in manifest.resources.items()}
    shown = {key: Observed(digest_of(word), word) for key in hidden} | dict(known.found)
    part = make(replace(manifest, resources=hidden), replace(known, found=shown))
    assert word not in planfile.dumps(Plan("1", NOW, "lan", "", {}, (part,)))
    assert word not in repr(part)

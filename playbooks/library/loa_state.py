#!/usr/bin/python
"""One device and its manifest: facts, check, apply on probation, confirm, revert, rekey, recover.

The work is in ``module_utils/loa_device``, which needs the standard library of Python 3.9 only; this file is the door.
"""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: loa_state
short_description: Brings a Linux device to its manifest in one transaction, on probation until confirmed
description:
  - A manifest is everything that a device should have. All of it is applied or nothing, whatever happens to the power.
  - A change is on probation, the device goes back by itself unless C(mode=confirm) arrives within I(within) seconds.
  - Keys are C(file:PATH), C(service:UNIT), C(package:NAME), C(artifact:PATH). Digests are SHA-256 (hex) of
    C(<attributes>\n<text>) as of C(nms.provision.values.digest_of).
options:
  mode:
    description:
      - C(facts) reads I(keys); C(check) says what C(apply) would change; C(apply) changes it, on probation.
      - C(confirm) ends a probation; C(revert) goes back at once; C(recover) finishes what a power cut left.
      - C(new_key) makes the tunnel's next private key beside the present one, and tells its public half in the facts.
      - C(rekey) puts it in place of the present one, on probation; the hub must accept it by then.
    type: str
    required: true
    choices: [facts, check, apply, confirm, revert, recover, new_key, rekey]
  manifest:
    description:
      - For C(check) and C(apply), all resources in the order in which they are made. Each has C(kind) (file, service,
        package, artifact), C(name), C(text), C(attributes) (C(owner:group mode)), C(secret),
        C(restarts) (units). What was applied before and is no longer listed is removed,
        except that of the artifacts of one folder the one that was listed before stays, until the next takes its place.
      - C(text) is a file's content, a service's C(enabled running) or C(disabled stopped), a package's version (empty
        is any) or an artifact's SHA-256. A secret's text is absent here and in I(secrets) instead.
    type: list
    elements: dict
    default: []
  secrets:
    description: Texts of the secret resources by key. Never logged, never returned.
    type: dict
    default: {}
  keys:
    description: For C(facts), what to report, beside all that was applied. For other modes the manifest's.
    type: list
    elements: str
    default: []
  artifacts:
    description:
      - Where artifacts are fetched, C(url) (C(https://HUB:8443), then C(/artifact/SHA256)) and C(ca) (PEM, the only
        authority that is believed).
    type: dict
    default: {}
  within:
    description: Seconds of probation.
    type: float
    default: 300
  root:
    description: Work below this folder instead of the machine's own, without restarting anything that is not in it.
    type: path
    default: /
author: Loa
"""

EXAMPLES = r"""
- name: Bring the device to its manifest
  loa_state:
    mode: apply
    manifest:
      - {kind: file, name: /etc/x.conf, text: "a = 1\n", attributes: "root:root 0644", restarts: [x.service]}
      - {kind: file, name: /etc/x.key, attributes: "root:root 0600", secret: true}
      - {kind: service, name: x.service, text: enabled running}
    secrets: {"file:/etc/x.key": "..."}
    within: 300
"""

RETURN = r"""
changed:
  description: Whether anything was changed (with C(check), or in check mode, would be).
  returned: always
  type: bool
changes:
  description: What was changed, in order, as C({action, kind, name}) with actions create, change, remove.
  returned: always
  type: list
facts:
  description:
    - C(found) maps each existing key to C({digest}) and C({text}) unless it is secret, not UTF-8 or over 64 KiB. A
      package's digest is of its version, so an empty wanted version is met by any. A symbolic link or folder in place
      of a file has attributes C(symlink) or C(folder) and no text.
    - C(applied) maps keys to the digests that the last apply left (of the manifest, before confirmation too).
    - C(host) has texts model, serial, os, arch, python, receiver (version), wireguard (public key), wireguard_next,
      ssh_host_key (C(ssh-ed25519 AAAA...)), free_disk (bytes), hostname, boot_id. What is not known is absent.
  returned: always, after failures too where it could still be read
  type: dict
probation:
  description: C({pending, seconds}), the seconds left before the device goes back by itself.
  returned: always
  type: dict
reason:
  description:
    - Why it failed, in one word beside C(msg). C(symlink), C(folder), C(disk_full), C(owner) (no such user), C(secret)
      (text not given), C(manifest) (not understood), C(package), C(artifact), C(service), C(busy) (another run),
      C(nothing) (confirm or revert without probation), C(key) (no next key), C(state) (own state unreadable), C(io).
  returned: failure
  type: str
reverted:
  description: Whether the failure was mended by going back to what was before. Where false nothing had been changed.
  returned: failure of apply and rekey
  type: bool
"""

import signal
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.loa_device import boot as boot  # Ansible sends along only what is imported
from ansible.module_utils.loa_device import guard, manifest, transaction
from ansible.module_utils.loa_device.disk import Refused, full
from ansible.module_utils.loa_device.facts import facts
from ansible.module_utils.loa_device.journal import State

MODES = ["facts", "check", "apply", "confirm", "revert", "recover", "new_key", "rekey"]
ARGUMENTS: dict[str, dict[str, Any]] = {
    "mode": {"type": "str", "required": True, "choices": MODES},
    "manifest": {"type": "list", "elements": "dict", "default": []},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "artifacts": {"type": "dict", "default": {}},
    "within": {"type": "float", "default": 300.0},
    "root": {"type": "path", "default": "/"},
}


def main() -> None:
    # no_log: nothing of a manifest goes to the device's journal
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True, no_log=True)
    # a change of the tunnel may end this very connection; the change goes on, and the timer mends it if need be
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    given: dict[str, Any] = module.params
    state = State(Path(given["root"]))
    said = {"invocation": {"module_args": {"mode": given["mode"]}}}  # instead of the whole manifest
    try:
        told = run(state, given, only=module.check_mode)
    except (Refused, OSError) as error:
        module.fail_json(**said, **failure(state, given, error))
    module.exit_json(**said, **told)


def run(state: State, given: dict[str, Any], *, only: bool) -> dict[str, Any]:
    """What is returned; with ``only`` nothing is changed. Raises Refused and OSError."""
    mode = given["mode"]
    if mode == "check" or (mode == "apply" and only):
        wanted = manifest.read(given["manifest"], given["secrets"])
        return answer(state, list(wanted), manifest.differences(state, wanted))
    if mode == "facts" or only:
        return answer(state, given["keys"], [])
    with state.locked():
        return change(state, given)


def change(state: State, given: dict[str, Any]) -> dict[str, Any]:
    mode, within = given["mode"], given["within"]
    if mode == "apply":
        wanted = manifest.read(given["manifest"], given["secrets"])
        found = manifest.apply(state, wanted, given["artifacts"], within)
        return answer(state, list(wanted), found)
    if mode == "rekey":
        manifest.rekey(state, within)
    else:
        {
            "confirm": transaction.confirm,
            "revert": transaction.revert,
            "recover": transaction.recover,
            "new_key": manifest.new_key,
        }[mode](state)
    return {**answer(state, given["keys"], []), "changed": mode != "recover"}


def answer(state: State, keys: list[str], found: list[manifest.Difference]) -> dict[str, Any]:
    changes = [{"action": one.action, "kind": one.kind, "name": one.name} for one in found]
    return {"changed": bool(found), "changes": changes, **told(state, keys)}


def told(state: State, keys: list[str]) -> dict[str, Any]:
    pending = state.phase() == "active"
    probation = {"pending": pending, "seconds": guard.left(state) if pending else 0.0}
    return {"facts": facts(state, keys), "probation": probation}


def failure(state: State, given: dict[str, Any], error: Exception) -> dict[str, Any]:
    """What is told of a failure, with the facts as far as they can still be read."""
    reason = error.reason if isinstance(error, Refused) else "io"
    if isinstance(error, OSError) and full(error):
        reason = "disk_full"
    back = {"reason": reason, "reverted": isinstance(error, transaction.WentBack)}
    keys = given["keys"] or [f"{one.get('kind')}:{one.get('name')}" for one in given["manifest"]]
    try:
        return {"msg": str(error), **back, **told(state, keys)}
    except (Refused, OSError, ValueError):
        return {"msg": str(error), **back}


if __name__ == "__main__":
    main()

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
      - C(rekey) puts the tunnel's next private key, made on the device, in place of the present one, on probation.
    type: str
    required: true
    choices: [facts, check, apply, confirm, revert, recover, rekey]
  manifest:
    description:
      - For C(check) and C(apply), all resources in the order in which they are made. Each has C(kind) (file, service,
        package, artifact), C(name), C(text), C(attributes) (C(owner:group mode), files and artifacts only), C(secret),
        C(restarts) (units). What was applied before and is no longer listed is removed.
      - C(text) is a file's content, a service's C(enabled running) or C(disabled stopped), a package's version (empty is
        any) or an artifact's SHA-256. A secret's text is absent here and in I(secrets) instead.
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
  returned: check, apply
  type: list
diff:
  description: With --diff, per changed file C({before, after, before_header, after_header}), nothing of secrets.
  returned: check, apply
  type: list
facts:
  description:
    - C(found) maps each existing key to C({digest}) and C({text}) unless it is secret, not UTF-8 or over 64 KiB. A
      package's digest is of its version, so an empty wanted version is met by any. A symbolic link or folder in place of
      a file has attributes C(symlink) or C(folder) and no text.
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

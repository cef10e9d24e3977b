"""What one hub process does of all there is to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nms.i18n import N_
from nms.monitor.shards import WHOLE, Shard, parse
from nms.store.ownership import Claim, role, shard


class Role(StrEnum):
    """Polling; bulletins and their content; answering people; metrics."""

    MONITOR = "monitor"
    PLAYOUT = "playout"
    SOCKET = "socket"
    EXPORTER = "exporter"


ALL = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Work:
    """The roles of a process, and the part of the fleet that it polls."""

    roles: frozenset[Role] = ALL
    shard: Shard = WHOLE

    @property
    def everything(self) -> bool:
        return self.roles == ALL and self.shard == WHOLE

    @property
    def sees_all(self) -> bool:
        """Whether it polls the whole fleet itself."""
        return Role.MONITOR in self.roles and self.shard == WHOLE

    def claims(self) -> tuple[Claim, ...]:
        """What no other process on the same database may do meanwhile."""
        polling = (shard(self.shard.index, self.shard.count),) if Role.MONITOR in self.roles else ()
        return polling + tuple(role(r) for r in sorted(self.roles - {Role.MONITOR}))


@dataclass(frozen=True, slots=True)
class Misuse:
    """Why a process cannot do what it was told; ``fields`` fill the message."""

    message: str
    fields: dict[str, str]


def work(only: str | None, part: str | None) -> Work | Misuse:
    """What ``--only`` (roles with commas between) and ``--shard`` (``2/4``) ask for."""
    names = [word.strip() for word in only.split(",")] if only is not None else list(Role)
    unknown = [name for name in names if name not in list(Role)]
    if unknown:
        return Misuse(N_("no role is called '{name}'; the roles are: {known}"), {"name": unknown[0], "known": _known()})
    roles = frozenset(Role(name) for name in names)
    if Role.SOCKET in roles and Role.PLAYOUT not in roles:
        return Misuse(N_("'socket' needs 'playout' in the same process: what people order is aired at once"), {})
    chosen = WHOLE if part is None else parse(part)
    if chosen is None:
        return Misuse(N_("'{text}' is no part of the fleet such as 2/4"), {"text": part or ""})
    if part is not None and Role.MONITOR not in roles:
        return Misuse(N_("--shard says which part to poll, and 'monitor' is not among the roles"), {})
    return Work(roles, chosen)


def _known() -> str:
    return ", ".join(Role)

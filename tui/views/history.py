"""What was done to a device, and what backups hold, as technicians read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from nms.i18n import N_
from tui.backup_methods import BackedUp, HistoryRow
from tui.views.apply import OUTCOMES, problem_text
from tui.views.site import TITLES
from tui.views.times import rfc3339, shown
from tui.views.words import column

Translate = Callable[[str], str]

KINDS: Final[Mapping[str, str]] = {"rollout": N_("roll-out"), "backup": N_("backup"), **TITLES}
WHY: Final[Mapping[str, str]] = {
    "before": N_("before a change"),
    "after": N_("after a change"),
    "asked": N_("on demand"),
    "restored": N_("after it was put back"),
}
_RESULTS: Final[Mapping[str, str]] = {**OUTCOMES, **WHY, "": ""}


def history_line(row: HistoryRow, translate: Translate) -> str:
    """``16:05 11/11/2025  bản lưu cấu hình  3  trước khi thay đổi``: when, what, which, result, who, why not."""
    kind, result = column(KINDS, row.kind, translate), column(_RESULTS, row.result, translate)
    which = f"{row.what:<4}" if row.kind == "backup" else row.what
    parts = [shown(row.at), kind, which, result, row.by, problem_text(row.problem, translate)]
    return "  ".join(part for part in parts if part.strip()).rstrip()


def history_json(row: HistoryRow) -> dict[str, Any]:
    return {
        "at": rfc3339(row.at),
        "kind": row.kind,
        "what": row.what,
        "result": row.result,
        "by": row.by,
        "code": row.problem.code if row.problem is not None else None,
        **row.data,
    }


def backup_line(row: BackedUp, translate: Translate) -> str:
    """``23557-M01  bản 4, mới``, or why there is none."""
    if row.problem is not None:
        return f"{row.device:<10}  {problem_text(row.problem, translate)}"
    message = N_("backup {number}, new") if row.new else N_("backup {number}, nothing has changed since")
    return f"{row.device:<10}  {translate(message).format(number=row.number)}"


def backup_json(row: BackedUp) -> dict[str, Any]:
    code = row.problem.code if row.problem is not None else None
    return {"device": row.device, "backup": row.number or None, "new": row.new, "code": code}

"""What is wrong, the worst first: whom to call, who has it in hand, and what can be done about it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from inventory.diagnostics import sentence
from nms.i18n import N_, number
from tui.alarm_methods import (
    ACKNOWLEDGE,
    ALARMS,
    MAINTAIN,
    MENDED,
    REPAIR,
    SILENCE,
    UNSILENCE,
    Acknowledge,
    AlarmRow,
    AlarmRows,
    Alarms,
    DeviceId,
    Maintain,
    Repair,
    Silence,
    Unsilence,
)
from tui.bindings import translate_bindings
from tui.gateway import Gateway, HubError
from tui.methods import Problem, Silenced
from tui.screens.form import UNTIL, Field, FormScreen, Order, read_until
from tui.views.alarms import alarm_state, alarm_text, call_lines, silenced_text
from tui.views.times import moment, shown
from tui.widgets.alarm_table import AlarmTable

REFRESH_SECONDS = 5.0
STALE_SECONDS = 15
WIDE = 120
"""Columns of a terminal from which the details stand beside the list."""

KEYS = {"acknowledge": "t", "repair": "s", "mended": "d", "maintain": "b", "silence": "k", "unsilence": "m"}
_LOUDSPEAKER = re.compile(r"\d{3,5}-L\d{2,3}").fullmatch


class AlarmsScreen(Screen[None]):
    """The alarms of one unit (``selection``, empty: of the province), asked for again every few seconds.

    What the caller may not do, or what does not fit the line under the cursor, is greyed out, and the details say why.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        (KEYS["acknowledge"], "acknowledge", N_("Acknowledge")),
        (KEYS["repair"], "repair", N_("Repair order")),
        (KEYS["mended"], "mended", N_("Mended")),
        (KEYS["maintain"], "maintain", N_("Maintenance")),
        (KEYS["silence"], "silence", N_("Silence")),
        (KEYS["unsilence"], "unsilence", N_("Let speak")),
        ("escape", "app.pop_screen", N_("Back")),
    ]

    def __init__(self, gateway: Gateway, translate: Callable[[str], str], selection: str, name: str) -> None:
        super().__init__()
        translate_bindings(self, translate)
        self._gateway = gateway
        self._translate = translate
        self._selection = selection
        self._scope = name
        self._rows: AlarmRows | None = None
        self._heard = 0.0
        self._silence = ""

    def compose(self) -> ComposeResult:
        yield Static(id="status", markup=False)
        yield Static(self._scope, id="crumbs", markup=False)
        with Vertical(id="body"):
            yield AlarmTable(self._translate)
            with VerticalScroll(id="details", can_focus=False):
                yield Static(id="detail", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#status", Static).update(self._translate(N_("waiting for the hub")))
        self.query_one(AlarmTable).focus()
        self.set_interval(REFRESH_SECONDS, self._refresh)
        self.set_interval(1.0, self._age)
        self._refresh()

    def on_resize(self) -> None:
        self._show()

    @on(DataTable.RowHighlighted)
    def moved(self) -> None:
        self._tell()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Greyed out (None) is what cannot be done here; ``_why_not`` says why."""
        if action in KEYS and self._why_not(action):
            return None
        return super().check_action(action, parameters)

    # -- what is

    @work(exclusive=True, group="alarms")
    async def _refresh(self) -> None:
        try:
            self._rows = await self._gateway.ask(ALARMS, Alarms(self._selection))
        except HubError as error:
            self._silence = "; ".join(sentence(p.message, p.fields, self._translate) for p in error.problems)
        else:
            self._heard, self._silence = time.monotonic(), ""
            self._show()
        self._age()

    def _show(self) -> None:
        if self._rows is not None:
            self.query_one(AlarmTable).show(self._rows, wide=self.app.size.width >= WIDE)
            self._tell()

    def _age(self) -> None:
        """The head line; silence and old news are marked, because an operator acts on what stands here."""
        rows = self._rows
        if rows is None:
            if self._silence:
                self.query_one("#status", Static).update(f"✖ {self._silence}")
            return
        age = int(time.monotonic() - self._heard)
        parts = [f"✖ {self._silence}"] if self._silence else []
        if age >= STALE_SECONDS:
            parts.append(self._translate(N_("no news from the hub for {age} s")).format(age=age))
        waiting = sum(row.state == "open" for row in rows.alarms)
        message = self._translate(N_("Alarms: {open}, not acknowledged {unacknowledged}; {silenced} clusters silenced"))
        silenced = sum(not row.expired for row in rows.silenced)
        parts.append(
            message.format(open=number(len(rows.alarms)), unacknowledged=number(waiting), silenced=number(silenced))
        )
        line = self.query_one("#status", Static)
        line.update("  ".join(parts))
        line.set_class(bool(self._silence) or age >= STALE_SECONDS, "-lost")

    def _tell(self) -> None:
        """Everything about the line under the cursor."""
        row = self._chosen()
        lines = self._alarm(row) if isinstance(row, AlarmRow) else self._silenced(row) if row else []
        if row is None and self._rows is not None:
            lines = [self._translate(N_("no alarms"))]
        self.query_one("#detail", Static).update("\n".join([*lines, *self._greyed()]))
        self.refresh_bindings()

    def _alarm(self, row: AlarmRow) -> list[str]:
        tr = self._translate
        lines = [alarm_text(row, tr), tr(N_("since {at}")).format(at=shown(row.since)) + f" · {alarm_state(row, tr)}"]
        if row.comment:
            lines.append(f"«{row.comment}»")
        lines += [part for part in (", ".join(row.communes),) if part]
        if row.calls:
            lines += [tr(N_("Whom to call")), *(line[2:] for line in call_lines(row, tr))]
        muted = self._mute_of(row.subject)
        return [*lines, f"{row.subject} {silenced_text(muted, tr)}"] if muted is not None else lines

    def _silenced(self, row: Silenced) -> list[str]:
        where = " · ".join(part for part in (row.commune, row.hamlet) if part)
        contact = row.contact or self._translate(N_("no contact known"))
        lines = [f"{row.device}  {where}", silenced_text(row, self._translate)]
        if not row.expired:
            lines.append(self._translate(N_("nothing is heard there, no emergency either")))
        return [*lines, f"{self._translate(N_('Whom to call'))}: {contact}"]

    def _greyed(self) -> list[str]:
        """Each reason why something cannot be done, behind the keys it holds for."""
        reasons: dict[str, list[str]] = {}
        for action, key in KEYS.items():
            reason = self._why_not(action)
            if reason:
                reasons.setdefault(reason, []).append(key)
        return ["", *(f"– {' '.join(keys)}: {reason}" for reason, keys in reasons.items())] if reasons else []

    # -- what can be done

    def _why_not(self, action: str) -> str:
        row = self._chosen()
        forbidden = self._forbidden(action, row)
        if forbidden:
            return "; ".join(sentence(p.message, p.fields, self._translate) for p in forbidden)
        reason = self._misfit(action, row)
        return self._translate(reason) if reason else ""

    def _forbidden(self, action: str, row: AlarmRow | Silenced | None) -> tuple[Problem, ...]:
        rows = self._rows
        if rows is None:
            return ()
        # work and a silence may be about something else than the line under the cursor
        if action == "silence":
            return rows.mute
        if action == "unsilence":
            muted = self._mute_of(self._device())
            return muted.forbidden if muted is not None else rows.mute
        return row.forbidden if action != "maintain" and isinstance(row, AlarmRow) else rows.forbidden

    def _misfit(self, action: str, row: AlarmRow | Silenced | None) -> str:
        """Why an action does not fit a line: untranslated; empty if it does."""
        if action == "acknowledge" and not isinstance(row, AlarmRow):
            return N_("there is no alarm here")
        if action in ("repair", "mended") and not self._device():
            return N_("this is not about one device")
        if action == "unsilence" and self._mute_of(self._device()) is None:
            return N_("nothing is silenced here")
        return ""

    def _chosen(self) -> AlarmRow | Silenced | None:
        return self.query_one(AlarmTable).chosen if self.is_mounted else None

    def _device(self) -> str:
        """The one device that the line under the cursor is about."""
        row = self._chosen()
        if isinstance(row, Silenced):
            return row.device
        return row.subject if row is not None and row.subject in row.devices else ""

    def _mine(self) -> str:
        """The device under the cursor if the caller may act on it."""
        row = self._chosen()
        return self._device() if row is not None and not row.forbidden else ""

    def _mute_of(self, device: str) -> Silenced | None:
        silenced = self._rows.silenced if self._rows is not None else ()
        return next((row for row in silenced if row.device == device and not row.expired), None)

    def _now(self) -> datetime:
        return moment(self._rows.now if self._rows is not None else 0)

    def _until(self, text: str) -> int:
        return read_until(text, self._now(), self._translate)

    def action_acknowledge(self) -> None:
        row = self._chosen()
        if not isinstance(row, AlarmRow):
            return

        async def order(values: Mapping[str, str]) -> str:
            await self._gateway.ask(ACKNOWLEDGE, Acknowledge(row.id, values["comment"]))
            return self._translate(N_("acknowledged"))

        self._form(
            alarm_text(row, self._translate),
            (Field("comment", N_("What is being done about it"), row.comment, optional=True),),
            order,
            N_("Acknowledge"),
        )

    def action_repair(self) -> None:
        device = self._device()

        async def order(values: Mapping[str, str]) -> str:
            until = self._until(values["until"])
            await self._gateway.ask(REPAIR, Repair(device, values["part"], values["who"], until))
            return self._translate(N_("the alarms of {device} are quiet until {until}")).format(
                device=device, until=shown(until)
            )

        fields = (Field("part", N_("What is mended or replaced")), Field("who", N_("Who does it")), UNTIL)
        self._form(f"{self._translate(N_('Repair order'))}: {device}", fields, order, N_("Open the order"))

    def action_mended(self) -> None:
        device = self._device()

        async def order(_: Mapping[str, str]) -> str:
            await self._gateway.ask(MENDED, DeviceId(device))
            return self._translate(N_("{device} is mended")).format(device=device)

        question = N_("{device}: close the repair order? If it is silenced, it is heard again.")
        self._form(self._translate(question).format(device=device), (), order, N_("Mended"))

    def action_maintain(self) -> None:
        async def order(values: Mapping[str, str]) -> str:
            until = self._until(values["until"])
            devices = (
                await self._gateway.ask(MAINTAIN, Maintain(values["selection"], until, values["reason"]))
            ).devices
            message = self._translate(N_("{count} devices in maintenance until {until}"))
            return message.format(count=number(len(devices)), until=shown(until))

        device = self._mine()
        meant = f"device={device}" if device else self._selection
        fields = (Field("selection", N_("Devices (selection)"), meant), UNTIL, Field("reason", N_("Reason")))
        self._form(self._translate(N_("Maintenance: what is off meanwhile is not lost")), fields, order, N_("Announce"))

    def action_silence(self) -> None:
        async def order(values: Mapping[str, str]) -> str:
            until = self._until(values["until"])
            given = Silence(values["device"], until, values["reason"], values["who"], values["part"])
            muted = await self._gateway.ask(SILENCE, given)
            return f"{muted.device} {silenced_text(muted, self._translate)}"

        device = self._mine()
        fields = (
            Field("device", N_("Cluster"), device if _LOUDSPEAKER(device) else ""),
            UNTIL,
            Field("reason", N_("Reason")),
            Field("who", N_("Repair order: who"), optional=True),
            Field("part", N_("Repair order: which part"), optional=True),
        )
        title = N_("Silence a cluster: NOTHING is heard there, no emergency either")
        self._form(self._translate(title), fields, order, N_("Silence"))

    def action_unsilence(self) -> None:
        device = self._device()

        async def order(values: Mapping[str, str]) -> str:
            await self._gateway.ask(UNSILENCE, Unsilence(device, values["reason"]))
            return self._translate(N_("{device} is no longer silenced")).format(device=device)

        title = self._translate(N_("Let {device} be heard again")).format(device=device)
        self._form(title, (Field("reason", N_("Reason")),), order, N_("Let speak"))

    def _form(self, title: str, fields: tuple[Field, ...], order: Order, button: str) -> None:
        self.app.push_screen(FormScreen(self._translate, title, fields, order, self._translate(button)), self._done)

    def _done(self, told: str | None) -> None:
        if told is not None:
            self.app.notify(told, markup=False)
            self._refresh()

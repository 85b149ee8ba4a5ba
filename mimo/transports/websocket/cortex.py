"""One connection of agents: it joins channels, and each channel has its errands, its subscriptions and its presence."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import trio

from mimo.errors import Busy, InvalidArguments, MimoError, NotFound, Unauthorized
from mimo.gateway.keys import Key
from mimo.protocol import synapse
from mimo.protocol.rest import problem_of
from mimo.protocol.synapse import PHOENIX, CallTool, Frame, Interrupt, Ping, Query, Subscribe, Version
from mimo.tool import Client, JsonObject
from mimo.transports.websocket.backlog import Lost, Weight
from mimo.transports.websocket.errands import Errands
from mimo.transports.websocket.exchange import Exchange
from mimo.transports.websocket.link import NOT_ALLOWED, Left, Link

# Who showed no key with the upgrade shows one soon, or takes no place from others.
JOIN_SECONDS = 10.0
MOST_CHANNELS = 16
MOST_GARBAGE = 32  # in a row


@dataclass(slots=True, eq=False)
class Channel:
    """A topic that was joined."""

    topic: str
    join_ref: str | None
    agent: str
    key: Key
    token: str
    errands: Errands
    life: ExitStack


class Cortex:
    def __init__(self, exchange: Exchange, link: Link, how: Version, address: str, token: str | None) -> None:
        """`token`: the key that was shown with the upgrade, which holds for all channels."""
        self._exchange = exchange
        self._link = link
        self._how = how
        self._address = address
        self._token = token
        self._channels: dict[str, Channel] = {}
        self._garbage = 0
        link.still_welcome = self._still_welcome

    async def run(self) -> None:
        """Until the peer has gone or we leave; then what runs is cancelled, or answered."""
        try:
            async with trio.open_nursery() as nursery:
                if self._token is None:
                    nursery.start_soon(self._wait_for_a_key)
                try:
                    while True:
                        await self._take(await self._link.hear(), nursery)
                except Left:
                    pass
                if self._link.leaving:
                    for channel in self._channels.values():
                        await channel.errands.quiet()
                nursery.cancel_scope.cancel()
        finally:
            for channel in tuple(self._channels.values()):
                self._end(channel)

    async def _wait_for_a_key(self) -> None:
        await trio.sleep(JOIN_SECONDS)
        if not self._channels:
            self._link.hang_up(NOT_ALLOWED, "nothing was joined with a key")

    def _still_welcome(self) -> bool:
        tokens = [channel.token for channel in self._channels.values()]
        tokens += [] if self._token is None else [self._token]
        try:
            for token in tokens:
                self._exchange.guard.admit({"authorization": f"Bearer {token}"})
        except Unauthorized:
            return False
        return True

    async def _take(self, text: str, nursery: trio.Nursery) -> None:
        try:
            frame = synapse.read(text, self._how)
        except InvalidArguments as error:
            self._garbage += 1
            if self._garbage > MOST_GARBAGE:
                self._link.hang_up(NOT_ALLOWED, f"{self._garbage} messages in a row were no frames")
            self._say(Frame(PHOENIX, "error", problem_of(error, "")))
            return
        self._garbage = 0
        try:
            await self._receive(frame, nursery)
        except MimoError as error:
            if frame.ref is None:
                self._say(Frame(frame.topic, "error", problem_of(error, ""), None, frame.join_ref))
            else:
                self._say(synapse.refused(frame, error))

    async def _receive(self, frame: Frame, nursery: trio.Nursery) -> None:
        channel = self._channels.get(frame.topic)
        if frame.topic == PHOENIX and frame.event == synapse.HEARTBEAT:
            self._answer(frame)
        elif frame.event == synapse.JOIN:
            await self._join(frame, nursery)
        elif frame.event == synapse.LEAVE:
            if channel is not None and frame.join_ref in {None, channel.join_ref}:
                self._end(channel)
                self._answer(frame)
                self._say(synapse.closed(frame.topic, channel.join_ref))
            else:
                self._answer(frame)
        elif channel is None:
            raise NotFound(f"unmatched topic: join {frame.topic!r} first")
        else:
            self._wish(frame, channel)

    async def _join(self, frame: Frame, nursery: trio.Nursery) -> None:
        agent = synapse.agent_of(frame.topic)
        said: Any = frame.payload.get("key", self._token)
        if said is not None and not isinstance(said, str):
            raise InvalidArguments("key is text", field="key")
        shown = {} if said is None else {"authorization": f"Bearer {said}"}
        key = await self._exchange.guard.key(shown, frame.ref or "", self._address)
        assert isinstance(said, str)
        if (before := self._channels.get(frame.topic)) is not None:  # as Phoenix does: the newer one lives
            self._end(before)
            self._say(synapse.closed(before.topic, before.join_ref))
        elif len(self._channels) >= MOST_CHANNELS:
            raise Busy(f"a connection joins at most {MOST_CHANNELS} channels", after=1.0)
        # Clients of vsn 1.0.0 do not say `join_ref`: there the join's own ref names the channel.
        join_ref = frame.join_ref or frame.ref
        with ExitStack() as life:
            life.enter_context(self._exchange.hold(key))
            client = _client(key, agent)
            session = life.enter_context(self._exchange.desk.session(client, "synapse", self._link.leave))

            def push(event: str, payload: JsonObject, weight: Weight) -> None:
                self._say(Frame(frame.topic, event, payload, None, join_ref), weight)

            def tell(event: str, payload: JsonObject) -> None:
                push(event, payload, Weight.NEWS)

            errands = Errands(self._exchange, nursery, session, push)
            channel = Channel(frame.topic, join_ref, agent, key, said, errands, life.pop_all())
            self._channels[frame.topic] = channel
        self._answer(replace(frame, join_ref=join_ref), {"agent_id": agent, "key": key.name})
        meta: JsonObject = {
            "online_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "key": key.name,
        }
        channel.life.enter_context(self._exchange.presences.present(frame.topic, agent, meta, tell))

    def _end(self, channel: Channel) -> None:
        self._channels.pop(channel.topic, None)
        self._exchange.herald.listen(channel, (), _nothing)
        channel.errands.cancel_all()
        channel.life.close()

    def _wish(self, frame: Frame, channel: Channel) -> None:
        self._exchange.guard.admit({"authorization": f"Bearer {channel.token}"})
        wish = synapse.wish(frame)
        match wish:
            case Query() | CallTool():
                if isinstance(wish, Query):
                    self._exchange.guard.require_scope(channel.key, "read")
                running = sum(len(each.errands) for each in self._channels.values())
                if running >= self._exchange.caps.in_flight:
                    raise Busy(f"{running} errands of this connection run already", after=1.0)
                channel.errands.start(wish, _client(channel.key, channel.agent))
                self._answer(frame, {"ref": wish.ref})
            case Interrupt(ref, reason):
                self._answer(frame, {"ref": ref, "interrupted": channel.errands.interrupt(ref, reason)})
            case Subscribe(events):
                self._exchange.guard.require_scope(channel.key, "read")
                self._exchange.herald.listen(channel, events, self._hearing(channel))
                self._answer(frame, {"events": list(events)})
            case Ping():
                self._answer(frame, {"pong": True})

    def _hearing(self, channel: Channel) -> Any:
        around: dict[str, tuple[str, str]] = {}  # what each kind is wrapped in, here: the same every time

        def hear(kind: str, payload: str) -> None:
            if (parts := around.get(kind)) is None:
                frame = Frame(channel.topic, kind, {}, None, channel.join_ref)
                before, _, after = synapse.write_around(frame, "\0", self._how).partition("\0")
                parts = around[kind] = before, after
            self._link.say(f"{parts[0]}{payload}{parts[1]}", Weight.NEWS)

        return hear

    def _answer(self, frame: Frame, response: JsonObject | None = None) -> None:
        if frame.ref is not None:
            self._say(synapse.reply(frame, response or {}))

    def _say(self, frame: Frame, weight: Weight = Weight.RESULT) -> None:
        self._link.say(synapse.write(frame, self._how), weight)


def missed(how: Version, lost: Lost) -> str:
    """What a slow reader is told, when it can be told anything."""
    return synapse.write(
        Frame(PHOENIX, "system:missed", {"thoughts": lost.thoughts, "events": lost.news}), how
    )


def _client(key: Key, agent: str) -> Client:
    return replace(key.client(), name=agent)


def _nothing(kind: str, payload: str) -> None:
    pass

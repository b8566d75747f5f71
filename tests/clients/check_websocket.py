"""WebSockets with Python's `websockets`: through a tunnel, one row for each, with the bytes of both ways."""

import asyncio

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from session import check


def dial(sent, kind, path="/ws", **expected):
    headers = sent.headers(**{"status": 101, "method": "GET", **expected})
    url = f"ws://{sent.proxy(kind)}{path}"
    return connect(url, additional_headers=headers, max_size=1 << 24, ping_interval=None, proxy=None, open_timeout=20)


@check("websockets: text and bytes there and back")
def echo(sent):
    async def run(kind):
        async with dial(sent, kind) as socket:
            for message in ["hello", "größe 🚲", b"\x00\xff" * 70_000, b"", "x" * 5_000_000]:
                await socket.send(message)
                assert await socket.recv() == message
            await socket.send(["in ", "three ", "pieces"])
            assert await socket.recv() == "in three pieces"
            await asyncio.wait_for(await socket.ping(), 20)

    for kind in ["node", "websockets"]:
        asyncio.run(run(kind))


@check("websockets: the service closes, with its code and reason")
def closes(sent):
    async def run(kind):
        async with dial(sent, kind) as socket:
            await socket.send("close me")
            try:
                await socket.recv()
                raise AssertionError("still open")
            except ConnectionClosed as end:
                assert (end.rcvd.code, end.rcvd.reason) == (4001, "as you wish"), end

    for kind in ["node", "websockets"]:
        asyncio.run(run(kind))


@check("websockets: twenty at once")
def many(sent):
    async def one():
        async with dial(sent, "websockets") as socket:
            for at in range(50):
                await socket.send(f"message {at}")
                assert await socket.recv() == f"message {at}"

    async def run():
        await asyncio.gather(*(one() for _ in range(20)))

    asyncio.run(run())


@check("websockets: an offer that the service refuses")
def refused(sent):
    async def run():
        try:
            async with dial(sent, "node", "/ws/no", status=401):
                raise AssertionError("not refused")
        except InvalidStatus as end:
            assert (end.response.status_code, end.response.body) == (401, b"no\n"), end

    asyncio.run(run())

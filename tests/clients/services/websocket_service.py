"""A WebSocket service of Python's `websockets` that sends everything back: websocket_service.py PORT"""

import asyncio
import sys

from websockets.asyncio.server import serve


async def echo(connection):
    async for message in connection:
        if message == "close me":
            await connection.close(4001, "as you wish")
            return
        await connection.send(message)


async def main():
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=1 << 24, ping_interval=None) as server:
        await server.serve_forever()


asyncio.run(main())

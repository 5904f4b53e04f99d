"""Many clients at once, in a process of their own: on the server's processor they must cost little to be no measure of
themselves. So each request is made before the clock starts, and of an answer nothing is read but its status and length.

python -m bench.live_clients HOST:PORT PATH CLIENTS [again] < bodies    one JSON body a line, shared out among clients

Prints the seconds that all took. again: from the first on when all are through, until the process is killed.
"""

import asyncio
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import cycle


def main() -> None:
    place, path, n, *again = sys.argv[1:]
    requests = [request(place, path, line.strip()) for line in sys.stdin.buffer if line.strip()]
    shares = [requests[first :: int(n)] for first in range(int(n))]
    print(asyncio.run(ask_all(place, [cycle(share) for share in shares] if again else shares)))


def request(place: str, path: str, body: bytes) -> bytes:
    head = [f"POST {path} HTTP/1.1", f"host: {place}", "content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode() + body


async def ask_all(place: str, clients: Sequence[Iterable[bytes]]) -> float:
    host, port = place.rsplit(":", 1)
    connections = [await asyncio.open_connection(host, int(port)) for _ in clients]
    began = time.perf_counter()
    await asyncio.gather(*(ask(*connection, mine) for connection, mine in zip(connections, clients, strict=True)))
    return time.perf_counter() - began


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: Iterable[bytes]) -> None:
    for one in requests:
        writer.write(one)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
    writer.close()


if __name__ == "__main__":
    main()

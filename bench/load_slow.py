"""Many connections that send half a request's headers and then nothing. python -m bench.load_slow PORT N

Prints how many it could open, and holds them until it is killed.
"""

import resource
import socket
import sys
import time


def main() -> None:
    port, n = int(sys.argv[1]), int(sys.argv[2])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, n + 100)), hard))
    held = []
    for _ in range(n):
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=2)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        except OSError:
            continue
        held.append(connection)
    print(len(held), flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main()

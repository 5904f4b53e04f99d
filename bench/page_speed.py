"""How long pages and calls take, as multiples of the smallest answer there is (/healthz), over the demo's index.

python -m bench.page_speed [--db featurescope.db]
"""

import argparse
import statistics
import time

from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings

PATHS = (
    "/",
    "/dictionaries/demo",
    "/dictionaries/demo?sort=-max_activation&q=the",
    "/dictionaries/demo/features/12",
    "/dictionaries/demo/features/12?group=silent&view=full",
    "/search?q=tennis",
    "/api/v1/dictionaries/demo/features?limit=200",
    "/api/v1/dictionaries/demo/features/12",
    "/api/v1/dictionaries/demo/features/12/examples",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", default="featurescope.db")
    with TestClient(create_app(Settings(db=parser.parse_args().db, model=False))) as client:

        def median(path: str) -> float:
            times = []
            for _ in range(30):
                start = time.perf_counter()
                answer = client.get(path)
                times.append(time.perf_counter() - start)
                assert answer.status_code == 200, answer.text
            return statistics.median(times)

        floor = median("/healthz")
        print(f"floor (/healthz): {1000 * floor:.1f} ms")
        for path in PATHS:
            print(f"{median(path) / floor:6.1f}  {path}")


if __name__ == "__main__":
    main()

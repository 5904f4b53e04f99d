"""Threads that work side by side, each with its share of torch's own."""

from concurrent.futures import ThreadPoolExecutor

import torch


class Workers(ThreadPoolExecutor):
    """n threads. Leaving the context waits for what has begun, leaves out what has not, and gives torch its threads
    back: what begins to use torch elsewhere meanwhile has as few as these.
    """

    def __init__(self, n: int) -> None:
        self._of_torch = torch.get_num_threads()
        super().__init__(n, initializer=torch.set_num_threads, initargs=(max(1, self._of_torch // n),))

    def __exit__(self, *_: object) -> None:
        self.shutdown(cancel_futures=True)
        torch.set_num_threads(self._of_torch)

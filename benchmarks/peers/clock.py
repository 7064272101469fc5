"""The time of a part of an epoch that PyTorch Lightning trains, under either of its names. Knows nothing of the project."""

import time

import torch

try:
    from pytorch_lightning import Callback
except ImportError:
    from lightning import Callback


def threads() -> dict:
    """Returns how many threads torch takes."""
    return {"torch": torch.get_num_threads()}


class Clock(Callback):
    """Seconds of the batches after the first `warm` ones, times how many such parts an epoch has."""

    def __init__(self, name: str, batches_of_epoch: float, warm: int) -> None:
        self.name, self.batches_of_epoch, self.warm = name, batches_of_epoch, warm
        self.losses: list[float] = []
        self.marks: list[tuple[float, float]] = []  # after each batch: by the clock, and of the processor

    def on_train_batch_end(self, trainer, module, outputs, *place) -> None:
        self.losses.append(float(outputs["loss"]))
        self.marks.append((time.perf_counter(), time.process_time()))

    def measures(self) -> dict[str, float]:
        """Returns seconds of an epoch, seconds of all threads, and the mean loss of the batches."""
        share = self.batches_of_epoch / (len(self.marks) - self.warm)
        began, ended = self.marks[self.warm - 1], self.marks[-1]
        seconds, spent = ((end - start) * share for end, start in zip(ended, began, strict=True))
        return {
            self.name: seconds,
            f"{self.name}: processor": spent,
            f"{self.name}: loss": sum(self.losses) / len(self.losses),
        }

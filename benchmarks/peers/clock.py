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
    """Seconds from the start of an epoch to the end of its last batch, times how many such parts an epoch has."""

    def __init__(self, name: str, batches_of_epoch: float) -> None:
        self.name, self.batches_of_epoch = name, batches_of_epoch
        self.losses: list[float] = []
        self.started = self.ended = (0.0, 0.0)  # by the clock, and of the processor

    def on_train_epoch_start(self, trainer, module) -> None:
        self.started = (time.perf_counter(), time.process_time())

    def on_train_batch_end(self, trainer, module, outputs, *place) -> None:
        self.losses.append(float(outputs["loss"]))
        self.ended = (time.perf_counter(), time.process_time())

    def measures(self) -> dict[str, float]:
        """Returns seconds of an epoch, seconds of all threads, and the mean loss of the batches."""
        share = self.batches_of_epoch / len(self.losses)
        seconds, spent = ((end - start) * share for end, start in zip(self.ended, self.started, strict=True))
        return {
            self.name: seconds,
            f"{self.name}: processor": spent,
            f"{self.name}: loss": sum(self.losses) / len(self.losses),
        }

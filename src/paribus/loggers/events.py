"""TensorBoard's event files, written at once and by templates.

The writer that TensorBoard brings computes checksums byte by byte in Python, in a thread beside the run; for a small
network with many layers' quantities that takes longer than to train it.
"""

import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import google_crc32c
import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary


class EventFile:
    """Appends to an event file that has been begun. What torch's FileWriter needs of an `event_writer`.

    An event is on its way to the disk when `write` returns. Raises OSError, naming the file, where it cannot be.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file = path.open("ab")

    def add_event(self, event: Event) -> None:
        self.write(event.SerializeToString())

    def write(self, event: bytes) -> None:
        """An event, as one TFRecord: its length and the event itself, each with its masked CRC-32C.

        The format is that of https://www.tensorflow.org/tutorials/load_data/tfrecord.
        """
        length = struct.pack("<Q", len(event))
        with self._named():
            self._file.write(b"".join((length, _mask_checksum(length), event, _mask_checksum(event))))
            self._file.flush()

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        with self._named():
            self._file.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def get_logdir(self) -> str:
        return str(self.path.parent)


def _mask_checksum(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


class ScalarEvents:
    """Events of the scalars of these tags, which differ in step and values: the numbers are written into a copy."""

    def __init__(self, tags: Sequence[str]):
        whole, places = b"", []
        for tag in tags:
            whole += Summary(value=[Summary.Value(tag=tag, simple_value=0.0)]).SerializeToString()
            places.append(len(whole) - 4)  # a value ends with its float
        event = Event(summary=Summary.FromString(whole)).SerializeToString()
        self._template = np.frombuffer(event, dtype=np.uint8)
        self._places = np.array(places, dtype=int)[:, None] + len(event) - len(whole) + np.arange(4)

    def event(self, step: int, values: Sequence[float]) -> bytes:
        """With a value a tag, in their order; now. Beyond single precision they are infinite."""
        filled = self._template.copy()
        with np.errstate(over="ignore"):
            numbers = np.array(values, dtype=np.float64).astype("<f4")
        filled[self._places] = numbers.view(np.uint8).reshape(-1, 4)
        # messages one after the other are one message
        return Event(wall_time=time.time(), step=step).SerializeToString() + filled.tobytes()

"""Parts: the steps of runs whose frames would not fit into memory at once; each step takes one part after the other.

Frame `logs` of part 3 is staged as `logs_3`. How many parts there are is staged last, so that no step takes half of a
killed collector's parts for all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from wattline_operators.base import open_store
from wattline_operators.collect import CollectOperator
from wattline_operators.gate import GateOperator
from wattline_operators.process import ProcessOperator
from wattline_operators.store import StoreOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from wattline.storage.staging import Staging

_NOTE = "parts"


class PartsCollectOperator(CollectOperator):
    """A collector that yields the frames of one part after the other."""

    def run_step(self, context: Context) -> dict[str, Any]:
        """Read and stage part by part; return the rows of each frame, and how many parts there are."""
        staging, rows, parts = self.staging(context), Counter[str](), 0
        inputs = {name: staging.read(name) for name in self.inputs}
        with open_store(self.conn_id) as store:
            for frames in resolve_name(self.collector)(store, self.window(context), inputs):
                for name, frame in frames.items():
                    staging.write(f"{name}_{parts}", frame)
                    rows[name] += frame.height
                parts += 1
        staging.write_note(_NOTE, {"count": parts})
        return dict(rows) | {"parts": parts}


class PartsGateOperator(GateOperator):
    """A gate that judges each part by itself; one that has too many bad rows stops the run."""

    def run_step(self, context: Context) -> dict[str, Any]:
        """Return how many rows passed and how many are in quarantine."""
        counts = Counter(good=0, quarantined=0)
        for part in _parts(self.staging(context)):
            result, _ = self.judge(context, f"{self.frame}_{part}", part=part)
            counts.update(good=result.good.height, quarantined=result.bad.height)
        return dict(counts)


class PartsProcessOperator(ProcessOperator):
    """A processor that is called for each part.

    Args:
        parts: names of frames that are staged by parts, beside the `inputs` that all parts share.
    """

    template_fields: Sequence[str] = (*ProcessOperator.template_fields, "parts")

    def __init__(self, *, parts: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.parts = parts

    def run_step(self, context: Context) -> dict[str, Any]:
        """Compute and stage part by part; return the rows of each frame."""
        staging, rows = self.staging(context), Counter[str]()
        inputs = {name: staging.read(name) for name in self.inputs}
        for part in _parts(staging):
            own = {name: staging.read(f"{name}_{part}") for name in self.parts}
            for name, frame in resolve_name(self.processor)(self.window(context), inputs | own).items():
                staging.write(f"{name}_{part}", frame)
                rows[name] += frame.height
        return dict(rows)


class PartsStoreOperator(StoreOperator):
    """A storer of a frame that is staged by parts."""

    def run_step(self, context: Context) -> dict[str, Any]:
        """Write part by part, and return how many rows were inserted, updated, unchanged."""
        staging, table = self.staging(context), resolve_name(self.table)
        counts = Counter(inserted=0, updated=0, unchanged=0)
        with open_store(self.conn_id) as store:
            for part in _parts(staging):
                result = store.upsert(table, staging.read(f"{self.frame}_{part}"))
                counts.update(inserted=result.inserted, updated=result.updated, unchanged=result.unchanged)
        self.log.info("%s: %s", self.table, dict(counts))
        return dict(counts)


def _parts(staging: Staging) -> range:
    return range(staging.read_note(_NOTE).get("count", 0))

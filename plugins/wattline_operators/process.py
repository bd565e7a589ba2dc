"""Process: pure computation between staged frames."""

from __future__ import annotations

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from wattline_operators.base import PipelineOperator, frames_xcom

if TYPE_CHECKING:
    from airflow.sdk import Context


class ProcessOperator(PipelineOperator):
    """Call a processor on staged frames and stage what it returns.

    Args:
        processor: `module:function`, called as `(window, inputs) -> {name: frame}`.
        inputs: names of frames staged by earlier steps of the run.
    """

    template_fields: Sequence[str] = ("processor", "inputs")

    def __init__(self, *, processor: str, inputs: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.processor = processor
        self.inputs = inputs

    def run_step(self, context: Context) -> dict[str, Any]:
        """Compute, stage, and return references with row counts."""
        staging = self.staging(context)
        inputs = {name: staging.read(name) for name in self.inputs}
        frames = resolve_name(self.processor)(self.window(context), inputs)
        return frames_xcom({name: staging.write(name, frame) for name, frame in frames.items()}, frames)

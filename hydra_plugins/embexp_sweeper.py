"""embexp's sweeper, where Hydra looks for sweepers: Hydra's grid, whose jobs may go without keys they do not know."""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

from embexp.sweep.start import LEAVE_OUT


class GridSweeper(BasicSweeper):
    """Every combination of the values that are swept."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose all jobs, unless the launcher is yet to leave out what some of them do not know."""
        if self.config.sweep.unknown_keys != LEAVE_OUT:
            super().validate_batch_is_legal(batch)

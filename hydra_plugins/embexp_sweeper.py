"""embexp's sweeper, where Hydra looks for sweepers: Hydra's grid, whose jobs may go without keys they do not know."""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override

from embexp.sweep.start import LEAVE_OUT


class GridSweeper(BasicSweeper):
    """Every combination of the values that are swept."""

    @staticmethod
    def split_arguments(overrides: list[Override], max_batch_size: int | None) -> list[list[list[str]]]:
        """The jobs in batches; what is not swept stays as it was typed: Hydra writes `~key` as `~key=`."""
        plain = [each for each in overrides if not each.is_sweep_override()]
        typed = {f"{each.get_key_element()}={each.get_value_element_as_str()}": each.input_line for each in plain}
        batches = BasicSweeper.split_arguments(overrides, max_batch_size)
        return [[[typed.get(override, override) for override in job] for job in batch] for batch in batches]

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose all jobs, unless the launcher is yet to leave out what some of them do not know."""
        if self.config.sweep.unknown_keys != LEAVE_OUT:
            super().validate_batch_is_legal(batch)

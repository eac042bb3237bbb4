"""The check before training: data, loss, modifier, trainer and model against each other, before a model is loaded."""

from collections.abc import Mapping

from embexp.checks.companion_files import check_companions
from embexp.checks.findings import Findings, merged
from embexp.checks.labels import check_labels
from embexp.checks.settings import check_settings
from embexp.checks.texts import check_texts
from embexp.models.tokens import token_limit
from embexp.protocols import BaseModel
from embexp.training.stages import StagePlan


def check_stage(stage: StagePlan, model: BaseModel | None, place: Mapping[str, str] | None) -> Findings:
    """What is wrong with a stage (errors), and what may be (warnings); neither torch nor the model is loaded.

    Args:
        stage: its dataset is read and converted.
        model, place: the base model and where its weights come from (`BaseModel.locate`); None where not known.
    """
    limit = token_limit(model, place) if model and place else None
    return merged(
        (
            check_settings(stage.loss, stage.trainer, model),
            check_companions(stage.loss, place),
            check_labels(stage.dataset, stage.loss, stage.trainer),
            check_texts(stage.dataset, stage.loss, stage.trainer, limit),
        )
    )

"""The trained model on the Hugging Face Hub: its license, its card, and the upload."""

import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from embexp.config.session import shell_command
from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.errors import NOT_GIVEN, ExportError, Problem, did_you_mean
from embexp.exports.delivery import Exported, TrainedModel, adapter_base, is_local
from embexp.exports.model_card import CARD, Sharing, write_card

# As in https://huggingface.co/docs/hub/repositories-licenses.
_OF_THE_HUB = """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
    bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc
    cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0
    cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0
    cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1
    eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c
    ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl openmdw-1.0 openmdw-1.1 openrail++ osl-3.0 postgresql
    ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license fair-noncommercial-research-license llama2
    llama3 llama3.1 llama3.2 llama3.3 llama4 grok2-community gemma unknown other
"""
_LICENSES = frozenset(_OF_THE_HUB.split())


def _license_problems(license: str | None, license_name: str | None, license_link: str | None) -> Iterator[Problem]:
    """Missing or unknown parts of a license; name and link are those of license `other`."""
    other = {"license_name": license_name, "license_link": license_link}
    if license == "other" and (missing := [key for key, value in other.items() if not value]):
        fix = " ".join(f"{key}=<{key}>" for key in missing)
        yield Problem("names no license", "license", license, "its name and where to read it", fix=(fix,))
    if license != "other" and (given := [key for key, value in other.items() if value]):
        yield Problem("belongs to license other", given[0], other[given[0]], fix=(f"{given[0]}=null", "license=other"))
    if license in _LICENSES:
        return
    why = "There is no default: the licenses of the training data and of the base model decide which ones are possible."
    yield Problem(
        "is no license that the Hub knows" if license else "was not given",
        "license",
        license or NOT_GIVEN,
        "one that you have chosen, such as apache-2.0, mit, cc-by-4.0, cc-by-nc-sa-4.0 or other",
        " ".join(filter(None, (did_you_mean(license or "", _LICENSES), why, "Read both, then choose one."))),
        ("license=apache-2.0",),
    )


# The arguments of the command to push again.
_REPEATED = ("repo", "license", "license_name", "license_link", "data_license", "private", "revision", "endpoint")


class HubUpload:
    """An export that pushes the saved model, its card, and what the other exports made.

    The token comes from HF_TOKEN or from `hf auth login`; it is neither an argument nor written anywhere.

    Args:
        repo: `owner/name`; created when missing.
        license: as the Hub spells it (apache-2.0, cc-by-4.0); without a default, as data and base model decide.
        license_name, license_link: of a license that the Hub does not know (license other): its name, and its address
            or a file of the repository.
        data_license: that of the training data, for the card.
        language: codes such as en.
        private: who sees a repository that is created.
        revision: the branch to push to, created when missing; None for main.
        commit_message: None for one that names the run.
        examples: the number of training rows in the card.
        endpoint: another Hub; None for HF_ENDPOINT or huggingface.co.

    Raises:
        ConfigError: lists all that is missing: repository, license, token, a way to the Hub.
    """

    needs = ("run", "shared_base")
    comes_last = True

    def __init__(
        self,
        name: str,
        repo: str | None,
        license: str | None,
        license_name: str | None,
        license_link: str | None,
        data_license: str | None,
        language: Sequence[str],
        private: bool,
        revision: str | None,
        commit_message: str | None,
        examples: int,
        endpoint: str | None,
    ) -> None:
        own = [*_repo_problems(repo), *_license_problems(license, license_name, license_link)]
        own += problems_with("examples", examples, LegalValues(least=0, whole=True), such_as=0)
        refuse([*(problem.under(f"export.{name}") for problem in own), *_access_problems(name)])
        self.name, self.repo, self.examples = name, repo, examples
        self.private, self.revision, self.commit_message, self.endpoint = private, revision, commit_message, endpoint
        self.sharing = Sharing(repo, license, data_license, tuple(language), (), license_name, license_link)

    def make(self, trained: TrainedModel, folder: Path) -> Exported:
        """Write the card into the model's folder and here, then push; a copy of the card stays in the run.

        Raises:
            ExportError: the model is an adapter whose base only this machine has, or the Hub does not answer or
                refuses; with the command that pushes again without training.
        """
        base = adapter_base(trained.folder)
        if is_local(base):  # nobody else could load it
            raise ExportError(
                f"export=hub does not push {trained.folder}: an adapter whose base is the folder {base}, which nobody "
                "else has",
                expected="a whole model: merge the adapter in the command of the run",
                fix="model.adapter.merge=true",
            )
        examples = [*trained.dataset.training_rows().take(self.examples)] if self.examples else []
        sharing = replace(self.sharing, examples=examples)
        card = write_card(trained.folder, trained.result, trained.config, trained.run_folder, sharing)
        shutil.copy(card, folder / CARD)
        url = self._push(trained)
        (folder / "pushed.txt").write_text(f"{url}\n", encoding="utf-8")
        return Exported(self.name, folder, [f"pushed to {url}"])

    def _push(self, trained: TrainedModel) -> str:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HTTPError

        api = HfApi(endpoint=self.endpoint)
        try:
            return self._upload(api, trained)
        except (HTTPError, OSError, RuntimeError, ValueError) as error:
            # RuntimeError: a large file broke off. ValueError: the Hub does not take the card's metadata, or an answer
            # of something that is no Hub.
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise ExportError(
                f"{self.repo} could not be pushed to {api.endpoint}: {reason}",
                expected="a Hub that answers and a token that may write there (hf auth login, or HF_TOKEN)",
                note=f"The model is whole in {trained.folder}.",
                fix=self._again(trained),
            ) from error

    def _upload(self, api: Any, trained: TrainedModel) -> str:
        repo = api.create_repo(self.repo, private=self.private, exist_ok=True).repo_id
        if self.revision:
            api.create_branch(repo, branch=self.revision, exist_ok=True)
        upload = partial(api.upload_folder, repo_id=repo, revision=self.revision)
        message = self.commit_message or f"embexp: {trained.result['run']['name']}"
        for made in trained.made:
            if not made.problem:
                upload(folder_path=made.folder, path_in_repo=made.name, commit_message=f"{message} ({made.name})")
        return str(upload(folder_path=trained.folder, path_in_repo=None, commit_message=message).commit_url)

    def _again(self, trained: TrainedModel) -> str:
        every = {**vars(self.sharing), **vars(self)}
        given = [f"export.hub.{key}={shlex.quote(str(every[key]))}" for key in _REPEATED if every[key] is not None]
        return shell_command("export", [f"run={trained.run_folder}", "export=hub", *given])


def _repo_problems(repo: str | None) -> Iterator[Problem]:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if not repo:
        yield Problem("was not given", "repo", expected="a repository to push to", fix=("repo=<owner>/<name>",))
        return
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        yield Problem(f"is no name of a repository: {error}", "repo", repo, fix=("repo=<owner>/<name>",))


def _access_problems(name: str) -> Iterator[Problem]:
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        text, fix = "cannot push while HF_HUB_OFFLINE is set", ("unset HF_HUB_OFFLINE",)
        yield Problem(text, "export", name, "a way to the Hub", fix=fix)
    if not get_token():
        fix = ("hf auth login", "export HF_TOKEN=<token>")
        yield Problem("finds no token of the Hub", "export", name, fix=fix)

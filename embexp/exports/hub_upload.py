"""The trained model on the Hugging Face Hub: its license, its card, and the push."""

import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.config.session import shell_command
from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.errors import NOT_GIVEN, ExportError, Problem, as_typed, did_you_mean, listed
from embexp.exports.delivery import Exported, TrainedModel, adapter_base, is_local
from embexp.exports.hub_repository import (
    Repository,
    access_problems,
    missing_right,
    next_tag,
    read_repository,
    ref_problems,
    repo_problems,
    role_of_token,
)
from embexp.exports.model_card import CARD, Sharing, write_card

if TYPE_CHECKING:
    from huggingface_hub import HfApi

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


_PUSHED = "pushed.txt"  # the pushes of a run, the last one last
_NO_FILES = {".gitattributes"}  # of a repository that was only created
_WEIGHTS = {".safetensors", ".bin", ".onnx", ".xml", ".pt", ".h5", ".msgpack", ".gguf"}
_COMMON_HUB = "https://huggingface.co"


class HubUpload:
    """An export that pushes the saved model, its card, and what the other exports made, as one commit.

    The token comes from HF_TOKEN or from `hf auth login`; it is neither an argument nor written anywhere.

    Args:
        repo: `owner/name`, or `name` for the token's user; created when missing.
        license: as the Hub spells it (apache-2.0, cc-by-4.0); without a default, as data and base model decide.
        license_name, license_link: of a license that the Hub does not know (license other): its name, and its address
            or a file of the repository.
        data_license: that of the training data, for the card.
        language: codes such as en.
        private: who sees a repository that is created.
        overwrite: whether a repository that holds files, or that everybody sees, may be pushed to. Files of weights
            that the push does not hold are then removed, so that no loader finds those of another model.
        create_pr: opens a pull request in a repository that exists, in place of a push.
        revision: the branch to push to, created when missing; None for main.
        tag: a git tag for the commit.
        commit_message: None for one that names the run.
        examples: the number of training rows in the card.
        endpoint: another Hub; None for HF_ENDPOINT or huggingface.co.
        dry_run: writes the card and lists what would be pushed, without the network.

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
        overwrite: bool,
        create_pr: bool,
        revision: str | None,
        tag: str | None,
        commit_message: str | None,
        examples: int,
        endpoint: str | None,
        dry_run: bool,
    ) -> None:
        own = [*repo_problems(repo), *_license_problems(license, license_name, license_link)]
        own += problems_with("examples", examples, LegalValues(least=0, whole=True), such_as=0)
        own += [*ref_problems("revision", revision), *ref_problems("tag", tag)]
        if tag and create_pr:
            text, expected = "is for a commit, and create_pr=true only proposes one", "one of the two"
            own.append(Problem(text, "tag", tag, expected, fix=("tag=null", "create_pr=false")))
        refuse([*(each.under(f"export.{name}") for each in own), *([] if dry_run else access_problems(name))])
        self.name, self.repo, self.examples, self.dry_run = name, repo, examples, dry_run
        self.private, self.overwrite, self.create_pr, self.endpoint = private, overwrite, create_pr, endpoint
        self.revision, self.tag, self.commit_message = revision, tag, commit_message
        self.sharing = Sharing(repo, license, data_license, tuple(language), (), license_name, license_link)

    def make(self, trained: TrainedModel, folder: Path) -> Exported:
        """Write the card into the model's folder and here, then push; a copy of the card stays in the run.

        Raises:
            ExportError: the model is an adapter whose base only this machine has, or the Hub does not answer or
                refuses, or the repository is not to be pushed to; with the command that pushes without training.
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
        place = trained.output / self.name / _PUSHED
        earlier = place.read_text(encoding="utf-8").splitlines() if place.is_file() else []
        if self.dry_run:
            line = self._listed(_files_of(trained), card.read_text(encoding="utf-8"))
            pushed, lines = earlier, [*(f"earlier: {each}" for each in earlier), line]
        else:
            line = self._push(trained)
            pushed, lines = [*earlier, line], [line]
        if pushed:
            (folder / _PUSHED).write_text("\n".join([*pushed, ""]), encoding="utf-8")
        return Exported(self.name, folder, lines)

    def _listed(self, files: Mapping[str, Path], card: str) -> str:
        """What would be pushed, and where."""
        from huggingface_hub import constants

        sizes = {name: path.stat().st_size for name, path in sorted(files.items())}
        branch, tag = f", branch {self.revision or 'main'}", f", tag {self.tag}" * bool(self.tag)
        if self.create_pr:
            how = "as a pull request"
        else:
            exists = "pushed to" if self.overwrite else "refused"
            how = f"{'private' if self.private else 'public'} if it is created, {exists} if it holds files"
        front, _, rest = card.removeprefix("---\n").partition("\n---\n")
        return "\n  ".join(
            [
                f"dry run, nothing was sent. Would go to {self.repo} on {self.endpoint or constants.ENDPOINT}{branch}"
                f"{tag}: {how}",
                f"{len(sizes)} files, {sum(sizes.values()) / 1e6:,.1f} MB:",
                *(f"{size:>15,}  {name}" for name, size in sizes.items()),
                f"{CARD} begins:",
                *(f"  {line}" for line in ["---", *front.splitlines(), "---", *rest.strip().splitlines()[:1]]),
            ]
        )

    def _push(self, trained: TrainedModel) -> str:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HTTPError

        api = HfApi(endpoint=self.endpoint)
        try:
            return self._commit(api, trained)
        except (HTTPError, OSError, RuntimeError, ValueError) as error:
            # RuntimeError: a large file broke off. ValueError: the Hub does not take the card's metadata, or an answer
            # of something that is no Hub.
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            mirror = f" If that is a mirror for downloads only, type {self._key('endpoint')}={_COMMON_HUB}."
            raise ExportError(
                f"{self.repo} could not be pushed to {api.endpoint}: {reason}",
                expected="a Hub that answers and a token that may write there (hf auth login, or HF_TOKEN)",
                note=f"The model is whole in {trained.folder}.{mirror * (api.endpoint != _COMMON_HUB)}",
                fix=self._again(trained),
            ) from error

    def _commit(self, api: "HfApi", trained: TrainedModel) -> str:
        """One commit with all files; nothing is created or sent before all that can be seen was checked."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        user = api.whoami()
        repo = self.repo if "/" in self.repo else f"{user['name']}/{self.repo}"
        there = read_repository(api, repo, self.revision)
        self._refuse(repo, user, there, trained)
        files = _files_of(trained)
        stale = [name for name in there.files if Path(name).suffix in _WEIGHTS and name not in files] if there else []
        if there is None:
            api.create_repo(repo, private=self.private)
        if self.revision and not (there and there.commit) and not self.revision.startswith("refs/"):
            api.create_branch(repo, branch=self.revision)
        made = api.create_commit(
            repo,
            [
                *(CommitOperationAdd(name, path) for name, path in files.items()),
                *(CommitOperationDelete(name) for name in stale),
            ],
            commit_message=self.commit_message or f"embexp: {trained.result['run']['name']}",
            revision=self.revision,
            create_pr=self.create_pr,
            parent_commit=there.commit if there else None,
        )
        removed = f", where {listed(stale)} of an earlier model went" if stale else ""
        if self.create_pr:
            return f"proposed in {made.pr_url}{removed}"
        if self.tag:
            self._put_tag(api, repo, made.oid, str(made.commit_url))
        stays = ", which is private and stays so" if there and there.is_private and not self.private else ""
        return f"pushed to {made.commit_url}{f', tag {self.tag}' * bool(self.tag)}{stays}{removed}"

    def _put_tag(self, api: "HfApi", repo: str, commit: str, url: str) -> None:
        from huggingface_hub.errors import HTTPError

        try:
            api.create_tag(repo, tag=self.tag, revision=commit)
        except HTTPError as error:
            raise ExportError(
                f"The model is pushed to {url}, but its tag was refused: {' '.join(str(error).split())[:200]}",
                expected="the tag, which can be put there alone",
                fix=f"hf repos tag create {repo} {shlex.quote(self.tag)} --revision {commit}",
            ) from error

    def _refuse(self, repo: str, user: Mapping[str, Any], there: "Repository | None", trained: TrainedModel) -> None:
        """Raise ExportError unless the repository may be pushed to as the settings say."""
        problem, proposal = None, self._again(trained, create_pr=True, tag=None)
        if role_of_token(user) == "read":
            text, expected = f"Nothing was pushed: the token of {user['name']} may only read", "one that may write"
            problem = Problem(text, expected=expected, fix=("hf auth login", "export HF_TOKEN=<token>"))
        elif not self.create_pr and (text := missing_right(user, repo.partition("/")[0])):
            own = self._again(trained, repo=f"{user['name']}/{repo.partition('/')[2]}")
            fix = (own, *([proposal] if there else []))
            problem = Problem(f"Nothing was pushed to {repo}: {text}", expected="a repository to write to", fix=fix)
        elif there is None and self.create_pr:
            text, expected = f"{repo} is not on {self.endpoint or 'the Hub'}", "a repository that a pull request is for"
            problem = Problem(f"{text}, or the token of {user['name']} does not see it", expected=expected)
            problem = replace(problem, fix=(self._again(trained, create_pr=False),))
        elif there and self.tag in there.tags:
            text, other = f"{repo} has a tag {self.tag} already", next_tag(self.tag, there.tags)
            problem = Problem(text, expected="another tag", fix=(self._again(trained, tag=other),))
        elif there and not self.overwrite and not self.create_pr:
            held = [name for name in there.files if name not in _NO_FILES]
            is_seen = not there.is_private and self.private
            if held or is_seen:
                whose = "private" if there.is_private else "public: everybody sees what is pushed there"
                text = f"{repo} is there already ({len(held)} files) and {whose}"
                expected = "overwrite=true, a pull request, or another repository"
                fix = (self._again(trained, overwrite=True), proposal)
                problem = Problem(f"Nothing was pushed: {text}", expected=expected, fix=fix)
        if problem:
            raise ExportError(problem)

    def _key(self, name: str) -> str:
        return f"export.{self.name}.{name}"

    def _again(self, trained: TrainedModel, **changes: Any) -> str:
        """The command that pushes without training, with what was given, changed so."""
        given = {**vars(self.sharing), **vars(self), "language": [*self.sharing.languages]} | changes
        shown = {key: given[key] for key in _REPEATED if given[key] not in (None, False, [], 0)}
        shown |= {} if given["private"] else {"private": False}
        typed = [shlex.quote(f"{self._key(key)}={as_typed(value)}") for key, value in shown.items()]
        return shell_command("export", [f"run={trained.run_folder}", f"export={self.name}", *typed])


# The arguments of the command to push again; `private` only where it is not as it is without.
_REPEATED = ("repo", "license", "license_name", "license_link", "data_license", "language", "overwrite", "create_pr")
_REPEATED += ("revision", "tag", "commit_message", "examples", "endpoint")


def _files_of(trained: TrainedModel) -> dict[str, Path]:
    """All files that are pushed, by their path in the repository: the model's, and those of other exports."""
    places = {"": trained.folder} | {f"{made.name}/": made.folder for made in trained.made if not made.problem}
    return {
        f"{prefix}{path.relative_to(folder).as_posix()}": path
        for prefix, folder in places.items()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }

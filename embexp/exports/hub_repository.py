"""Repositories of the Hugging Face Hub: their names, branches and tags, what one holds, and who may write to it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embexp.errors import Problem

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Repository:
    """A repository that is on the Hub.

    Attributes:
        files: those of the branch that is pushed to, or of main, from which that is made.
        commit: the last one of that branch; None of a branch that is to be made.
    """

    is_private: bool
    files: Sequence[str]
    commit: str | None
    tags: Sequence[str]


def read_repository(api: "HfApi", repo: str, branch: str | None) -> Repository | None:
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        found = api.repo_info(repo)
    except RepositoryNotFoundError:
        return None
    refs = api.list_repo_refs(repo, include_pull_requests=bool(branch and branch.startswith("refs/")))
    places = [*refs.branches, *(refs.pull_requests or ())]
    commits = {name: each.target_commit for each in places for name in (each.name, each.ref)}
    commit = commits.get(branch or "main")
    files = api.list_repo_files(repo, revision=branch if branch and commit else None)
    return Repository(bool(found.private), sorted(files), commit, [tag.name for tag in refs.tags])


def missing_right(user: Mapping[str, Any], owner: str) -> str:
    """Why the token's user cannot push to an owner's repositories; empty if that is for the Hub to say."""
    roles = {each["name"].casefold(): each.get("roleInOrg") for each in user.get("orgs", ())}
    if (
        role_of_token(user) == "fineGrained" or owner.casefold() == user["name"].casefold()
    ):  # the former lists no others
        return ""
    if owner.casefold() not in roles:
        return f"the token is of {user['name']}, who is not {owner} and in no organisation of that name"
    return f"{user['name']} may only read in the organisation {owner}" * (roles[owner.casefold()] == "read")


def role_of_token(user: Mapping[str, Any]) -> str | None:
    """What the token may do: read, write or fineGrained."""
    return user.get("auth", {}).get("accessToken", {}).get("role")


def next_tag(tag: str, taken: Sequence[str]) -> str:
    """The next free tag.

    >>> next_tag("v1", ["v1", "v2"]), next_tag("1.9", ["1.9"]), next_tag("first", ["first"])
    ('v3', '1.10', 'first-2')
    """
    while tag in taken:
        name, number = re.fullmatch(r"(.*?)(\d*)", tag, re.DOTALL).groups()
        tag = f"{name}{int(number) + 1}" if number else f"{tag}-2"
    return tag


_NO_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[/.-]|/\.|[/.]$|\.lock$|^@$")


def ref_problems(key: str, name: str | None) -> Iterator[Problem]:
    """What makes a text no name of a branch or a tag, as git takes them."""
    if name is not None and (not name or _NO_REF.search(name)):
        proposed = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "v1"
        expected = "a name as git takes it: without blanks and without ~^:?*[\\"
        yield Problem(
            f"is no name of a {'tag' if key == 'tag' else 'branch'}", key, name, expected, fix=(f"{key}={proposed}",)
        )


def repo_problems(repo: str | None) -> Iterator[Problem]:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if not repo:
        yield Problem("was not given", "repo", expected="a repository to push to", fix=("repo=<owner>/<name>",))
        return
    try:
        validate_repo_id(repo)
    except HFValidationError:
        parts = [re.sub(r"[^A-Za-z0-9._]|--+|\.\.+", "-", part).strip("-.")[:40] for part in repo.split("/")]
        parts = [re.sub("-+", "-", part).removesuffix(".git") for part in parts if part]
        owner = parts[0] if len(parts) > 1 else "<owner>"
        name = parts[-1] if parts and "/" not in repo[-1:] else "<name>"
        expected = "<owner>/<name> of ASCII letters, digits, '-', '_' and '.', at most 96 characters"
        yield Problem("is no name of a repository", "repo", repo, expected, fix=(f"repo={owner}/{name}",))


def access_problems(name: str) -> Iterator[Problem]:
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        text, fix = "cannot push while HF_HUB_OFFLINE is set", ("unset HF_HUB_OFFLINE", f"export.{name}.dry_run=true")
        yield Problem(text, "export", name, "a way to the Hub", fix=fix)
    if not get_token():
        fix = ("hf auth login", "export HF_TOKEN=<token>", f"export.{name}.dry_run=true")
        yield Problem("finds no token of the Hub", "export", name, fix=fix)

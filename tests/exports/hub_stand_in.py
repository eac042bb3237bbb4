"""A small HTTP server that speaks enough of the Hugging Face Hub's API to take an upload, and keeps what it got."""

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE = 20_000  # bytes from which a file goes by LFS


class Hub:
    """What was sent, and what is there.

    Attributes:
        files: content by (branch, path in the repository).
        user: what it says of the token.
        private: whether each repository that is there is private.
        there: the paths of each branch before anything is sent; tags by name.
        proposed: the branches for which pull requests were opened.
        removed: paths that were deleted.
        refused: a status for each part of an address.
        checked: the cards whose metadata it was asked to check.
        faults: what it finds wrong with them.
        refuses: a status to answer everything with, None to take it.
    """

    def __init__(self) -> None:
        self.created: list[dict] = []
        self.branches: list[str] = []
        self.messages: list[str] = []
        self.tokens: set[str] = set()
        self.files: dict[tuple[str, str], bytes] = {}
        self.large: dict[str, bytes] = {}
        self.checked: list[str] = []
        self.faults: list[dict] = []
        self.refuses: int | None = None
        self.user = {"name": "me", "orgs": [], "auth": {"accessToken": {"role": "write"}}}
        self.private: dict[str, bool] = {}
        self.there: dict[str, list[str]] = {"main": [".gitattributes"]}
        self.tags: dict[str, str] = {}
        self.proposed: list[str] = []
        self.removed: list[str] = []
        self.refused: dict[str, int] = {}
        self.url = ""

    def answer(self, method: str, path: str, body: bytes, token: str, query: str = "") -> tuple[int, dict | list]:
        if "/lfs-put/" not in path:  # storage has a signed address in place of the token
            self.tokens.add(token)
        if self.refuses:
            return self.refuses, {"error": "no"}
        for part, status in self.refused.items():
            if part in path:
                return status, {"error": f"not {part}"}
        if path == "/api/whoami-v2":
            return 200, self.user
        if method == "PUT":
            self.large[path.rpartition("/")[2]] = body
            return 200, {}
        if path == "/api/validate-yaml":
            self.checked.append(json.loads(body)["content"])
            return 400 if self.faults else 200, {"errors": self.faults, "warnings": []}
        if path == "/api/repos/create":
            self.created.append(made := json.loads(body))
            repo = f"{made.get('organization') or self.user['name']}/{made['name']}"
            self.private[repo] = made["visibility"] == "private"
            return 200, {"url": f"{self.url}/{repo}", "name": repo, "id": "1"}
        if "/preupload/" in path:
            return 200, {"files": [self._mode(file) for file in json.loads(body)["files"]]}
        if path.endswith("/info/lfs/objects/batch"):
            return 200, {"transfer": "basic", "objects": [self._place(each) for each in json.loads(body)["objects"]]}
        if "/branch/" in path:
            self.branches.append(path.rpartition("/")[2])
            return 200, {}
        if "/tag/" in path:
            self.tags[json.loads(body)["tag"]] = path.rpartition("/")[2]
            return 200, {}
        if "/commit/" in path:
            lines = [json.loads(line) for line in body.splitlines()]
            return self._commit(path.rpartition("/")[2], lines, "create_pr=1" in query)
        if path.startswith("/api/models/"):
            return self._read("/".join(path.split("/")[3:5]), path.split("/")[5:])
        return 404, {"error": f"the stand-in does not know {method} {path}"}

    def _mode(self, file: dict) -> dict:
        mode = "lfs" if file["size"] >= LARGE else "regular"
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}

    def _place(self, each: dict) -> dict:
        return each | {"actions": {"upload": {"href": f"{self.url}/lfs-put/{each['oid']}"}}}

    def _read(self, repo: str, rest: list[str]) -> tuple[int, dict | list]:
        """A repository itself, its branches and tags, or the files of a branch."""
        if repo not in self.private:
            return 404, {"error": "Repository not found"}
        if rest[:1] == ["refs"]:
            kinds = {"branches": dict.fromkeys(self.there, "a" * 40), "tags": self.tags}
            places = {"branches": "heads", "tags": "tags"}
            return 200, {
                kind: [
                    {"name": name, "ref": f"refs/{places[kind]}/{name}", "targetCommit": commit}
                    for name, commit in found.items()
                ]
                for kind, found in kinds.items()
            } | {"converts": []}
        if rest[:1] == ["tree"]:
            entries = [{"type": "file", "path": each, "size": 1, "oid": "b" * 40} for each in self.there[rest[1]]]
            return 200, entries
        return 200, {"id": repo, "private": self.private[repo], "siblings": []}

    def _commit(self, branch: str, lines: list[dict], is_proposal: bool) -> tuple[int, dict]:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.messages.append(value["summary"])
            elif line["key"] == "file":
                self.files[branch, value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.files[branch, value["path"]] = self.large[value["oid"]]
            elif line["key"] == "deletedFile":
                self.removed.append(value["path"])
        commit = f"{len(self.messages):040x}"
        made = {"commitUrl": f"{self.url}/me/tiny/commit/{commit}", "commitOid": commit}
        if is_proposal:
            self.proposed.append(branch)
            made["pullRequestUrl"] = f"{self.url}/me/tiny/discussions/1"
        return 200, made


@contextmanager
def hub_stand_in():
    """The server on a free port, in a thread, for as long as the block lasts."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            path, _, query = self.path.partition("?")
            status, content = hub.answer(self.command, path, body, token, query)
            sent = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PUT = _handle  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()

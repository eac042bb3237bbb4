"""README, its Chinese twin and docs/: what they tell people to type works, and both languages say the same."""

import ast
import re
import shlex
import shutil
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from typed_commands import run_typed

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "README.zh-CN.md", *ROOT.glob("docs/**/*.md")])
NAMES = {page: page.relative_to(ROOT).as_posix() for page in PAGES}
# Pages whose blocks are typed as printed, in a folder with examples/, at sizes that take seconds.
TYPED = [each for each in ("README.md", "docs/quickstart.md") if (ROOT / each).is_file()]
SMALLER = {"minilm": "tiny", "minilm_l3": "small_bert", "static": "word_lstm", "bge_small_zh": "tiny"}
NOTHING_TO_RUN = ("git", "cd", ".", "source", "python3")  # of a block that sets up
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:python -m embexp(?:\.(\w+))?|embexp)(?=\s|$)")


def blocks(page):
    """The code blocks of a page: (language, text)."""
    return [(language, text) for _, language, text in FENCE.findall(page.read_text(encoding="utf-8"))]


def shell_lines(page, *languages):
    """What a page tells to type in its blocks of these languages, each line as words without its comment."""
    found = []
    for language, text in blocks(page):
        if language not in languages:
            continue
        for line in re.sub(r"\\\n\s*", " ", text).splitlines():
            line = line.strip()
            if language == "console" and not line.startswith("$ "):
                continue
            if words := shlex.split(line.removeprefix("$ "), comments=True):
                found.append(words)
    return found


def twin_of(page):
    """The Chinese page of an English one."""
    if page.name == "README.md" and page.parent == ROOT:
        return ROOT / "README.zh-CN.md"
    return page.with_suffix(".zh.md")


def in_english(words):
    """The words of a command whose data and models for Chinese are those for English."""
    plain = [re.sub(r"_zh(?=\.(csv|jsonl|txt)\b)", "", word) for word in words]
    return [word for word in plain if word != "model=static_scratch"]


def command_of(words):
    """The command of embexp that a line types, such as inspect, and its arguments; None for other programs."""
    line = words[1:] if re.fullmatch(r"[A-Z_]+=\S*", words[0]) else words
    if line[:2] == ["python", "-m"] and re.fullmatch(r"embexp(\.\w+)?", line[2]):
        name, rest = line[2].partition(".")[2], line[3:]
    elif line[0] == "embexp":
        name, rest = "", line[1:]
    else:
        return None
    from embexp.cli.help import COMMANDS

    if not name and rest and rest[0] in COMMANDS:
        name, rest = rest[0], rest[1:]
    return name or "run", rest


def test_all_pages_were_found():
    assert {"README.md", "README.zh-CN.md", "docs/verdicts.md", "docs/reference/commands.md"} <= {*NAMES.values()}


def test_both_languages_have_the_same_commands_and_numbers():
    pairs = [(page, twin_of(page)) for page in PAGES if twin_of(page) in NAMES]
    wrong = []
    for english, chinese in pairs:
        typed = [[in_english(words) for words in shell_lines(page, "bash", "console")] for page in (english, chinese)]
        wrong += [f"{NAMES[chinese]}: {line}" for line in typed[0] if line not in typed[1]]
        wrong += [f"{NAMES[english]}: {line}" for line in typed[1] if line not in typed[0]]
        numbers = [{*re.findall(r"\d\.\d{3,}", page.read_text(encoding="utf-8"))} for page in (english, chinese)]
        wrong += [f"{NAMES[chinese]}: {number}" for number in sorted(numbers[1] - numbers[0])]
        if english.name == "README.md":
            wrong += [f"{NAMES[chinese]} lacks {number}" for number in sorted(numbers[0] - numbers[1])]
    assert not wrong, wrong
    assert len(pairs) > 20


def test_links_and_pictures_lead_to_files():
    wrong = []
    for page in PAGES:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if ":" not in target and not (page.parent / target).exists():
                wrong.append(f"{NAMES[page]}: {target}")
    assert not wrong, wrong


def test_each_picture_is_shown_and_has_a_script_that_makes_it():
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    scripts = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/browser/*.py"))
    pictures = [path.name for path in ROOT.glob("docs/**/*.png")]
    assert pictures
    assert [name for name in pictures if name not in pages or name not in scripts] == []


def test_messages_that_the_pages_explain_are_those_of_the_code():
    """Each message in the first column of docs/messages.md is a part of a text in the code."""
    texts = set()
    for path in (ROOT / "embexp").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
    every = "\n".join(texts)
    pages = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("messages.md", "messages.zh.md")]
    quoted = [re.findall(r"^\| `([^`]+)`", page, re.MULTILINE) for page in pages]
    assert [each for each in quoted[0] if each not in every] == []
    assert quoted[0] == quoted[1]
    assert len(quoted[0]) > 40


def test_everything_that_the_pages_type_can_be_typed():
    """Targets of make and extras exist; overrides are composed as those of a run."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    makefile = (ROOT / "Makefile").read_text()
    wrong = []
    for page in PAGES:
        for words in shell_lines(page, "bash", "console"):
            if words[0] == "make":
                targets = [word for word in words[1:] if "=" not in word]
                wrong += [f"{NAMES[page]}: make {each}" for each in targets if f"\n{each}:" not in makefile]
            for extra in re.findall(r"\[([\w,]+)\]", " ".join(words)) if words[:2] == ["pip", "install"] else ():
                wrong += [f"{NAMES[page]}: [{each}]" for each in extra.split(",") if each not in extras]
    assert not wrong, wrong


def test_options_that_the_pages_name_exist():
    """Also those in the text, such as `negatives=none,bm25`."""
    wrong, seen = [], 0
    for page in PAGES:
        for code in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page.read_text(encoding="utf-8")):
            for group, value in re.findall(r"(?:^|\s)(\w+)=\[?([a-z_0-9,]+)\]?(?=\s|$)", code):
                options = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
                if options and code != "dataset=faq":  # which embexp init writes
                    seen += 1
                    wrong += [f"{NAMES[page]}: {group}={each}" for each in value.split(",") if each not in options]
    assert not wrong, wrong
    assert seen > 100


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_overrides_of_all_pages_compose():
    from embexp.cli.app import _first_value
    from embexp.cli.overrides import expand_paths
    from embexp.cli.quoting import quote_texts
    from embexp.config.compose import composed
    from embexp.config.session import hydra_started
    from embexp.errors import EmbexpError

    import_module("embexp.tuning.study")  # which names the folder of a study
    import_module("embexp.racing.folder")
    shutil.copytree(ROOT / "examples", "examples")
    wrong, done = [], set()
    with hydra_started():
        for page in PAGES:
            for words in shell_lines(page, "bash", "console"):
                command = command_of(words)
                if command is None or command[0] == "losses" or "..." in words or "<" in "".join(words):
                    continue
                name, arguments = command
                arguments = tuple(word for word in arguments if "=" in word or word.startswith("~"))
                if {"sweep.unknown_keys=leave_out", "resume"} & {*words, *(word.partition("=")[0] for word in words)}:
                    continue  # a key that the first job does not have; the folder of a run
                if (name, arguments) in done or any("config-dir" in word for word in words):
                    continue
                done.add((name, arguments))
                try:
                    make_files(arguments)
                    mixes = name in ("run", "tune", "race")
                    typed = quote_texts(expand_paths([*swept(name, arguments)], mixes))
                    overrides = [_first_value(each) for each in typed]
                    composed(overrides, "config" if name == "run" else name)
                except (EmbexpError, ValueError) as error:
                    wrong.append(f"{NAMES[page]}: {shlex.join(words)}\n    {error}")
    assert not wrong, "\n".join(wrong)
    assert len(done) > 50


def swept(name, arguments):
    """The arguments of a command as it composes them."""
    names = {"leaderboard": ("sweep", "of_sweep")}.get(name)
    for each in arguments:
        key, _, value = each.partition("=")
        if name == "evaluate" and key == "model":
            yield f"model={value.split(',')[0]}"
        elif name in ("tune", "reproduce") and re.search(r"\(", value):
            continue
        elif name == "leaderboard" and key in ("rows", "columns"):
            yield f"{key}=[{value}]"
        else:
            yield f"{names[1]}={value}" if names and key == names[0] else each


def make_files(arguments):
    """Files and folders that a command names."""
    for value in (each.partition("=")[2] for each in arguments):
        for path in map(Path, value.split(",")):
            if path.is_absolute() or path.exists() or not re.fullmatch(r"[\w./-]+", str(path)):
                continue
            if path.suffix in (".csv", ".tsv", ".jsonl", ".json", ".txt", ".parquet"):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            elif value.endswith("/"):
                path.mkdir(parents=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", [TYPED[0], *(pytest.param(each, marks=pytest.mark.matrix) for each in TYPED[1:])])
def test_blocks_work_as_printed(name, empty_store, workplace):
    """Each line is typed with a smaller model and trainer; what cannot be typed here has to be known."""
    shutil.copytree(ROOT / "examples", workplace / "examples")
    shutil.copy(empty_store, workplace / "mlflow.db")
    lines = [words for page in (ROOT / name, twin_of(ROOT / name)) for words in shell_lines(page, "bash")]
    typed = []
    for words in lines:
        command = command_of(words)
        if words in typed or words[0] in ("make", "pip", *NOTHING_TO_RUN):
            continue
        typed.append(words)
        assert command, f"no test knows how to run this line of {name}: {shlex.join(words)}"
        code, output = run_typed(workplace, *small(*command))
        assert code == 0, f"{shlex.join(words)}\n{output}"
    assert len(typed) > 2


def small(name, arguments):
    """A command with models and a training of seconds; of a sweep, two losses."""
    words = [name] if name != "run" else []
    for word in arguments:
        key, _, value = word.partition("=")
        if key == "model":
            word = f"model={','.join(SMALLER.get(each, each) for each in value.split(','))}"
        if key in ("model", "loss", "seed") and "-m" in arguments:
            word = ",".join(word.split(",")[: 2 if key == "loss" else 1])
        words.append(word)
    if name == "run":
        words += [
            "trainer=smoke",
            "threads=1",
            *([] if any(each.startswith("model=") for each in words) else ["model=tiny"]),
        ]
    return words


SMALL_RACE = ("trainer=smoke", "model=tiny", "race.max_candidates=1", "race.seeds=1")


@pytest.mark.slow
@pytest.mark.parametrize("name", TYPED)
def test_python_blocks_work_as_printed(name, empty_store, workplace):
    shutil.copytree(ROOT / "examples", workplace / "examples")
    shutil.copy(empty_store, workplace / "mlflow.db")
    for language, text in blocks(ROOT / name):
        if language == "python":
            smaller = re.sub(r"model=[\w,]+", lambda found: small("", [found[0]])[-1], text)
            smaller = smaller.replace("embexp.run(", 'embexp.run("trainer=smoke", ')
            smaller = smaller.replace("embexp.race(", f"embexp.race(*{SMALL_RACE}, ")
            exec(compile(smaller, name, "exec"), {})

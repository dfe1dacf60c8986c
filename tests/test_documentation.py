"""The documentation builds, its reference is up to date, and its commands name what exists."""

import json
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from clipbert_mmf.cli.main import VERBS, load_verb
from clipbert_mmf.cli.mmf_process import make_offline_environment
from clipbert_mmf.paths import find_config
from clipbert_mmf.tasks.datasets import SPECS

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "projects/clipbert/README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "examples/README.md",
        *ROOT.glob("docs/*.md"),
    ]
)
#: Of commands that are not ours, or that make a file which others then use.
FOREIGN = ("pip install", "python -c", "git clone")
#: What ``clipbert new-dataset cooking_steps`` writes, run where it was written by ``tests/test_examples.py``.
WRITTEN = ("python cooking_steps/", "mmf_run config=cooking_steps/", "mmf_predict config=save/")
#: Datasets of examples, and what ``clipbert new-dataset`` writes in the text.
EXAMPLES = {"cooking_steps"}
#: Of MMF's own, which recipes of ours train.
MMF_MODELS = {
    path.name.split("_msrvtt")[0]
    for path in ROOT.glob("projects/clipbert/configs/mmf_models/*_msrvtt_qa.yaml")
}
MMF_DATASETS = {"hateful_memes"}


def commands_of(page):
    """Return the command lines of a page's fenced blocks, continued lines joined and comments cut."""
    found = []
    for kind, block in re.findall(
        r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        if kind not in ("", "bash", "sh"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"\s+#.*$", "", line).strip()
            if line and re.match(r"(mmf_|python |clipbert |bash |pip |git )", line):
                found.append(line)
    return found


def test_every_verb_is_in_the_table_of_verbs():
    rows = re.findall(
        r"^\| `([\w-]+)` \|", (ROOT / "docs/asking.md").read_text().partition("## All verbs")[2], re.M
    )
    assert sorted(rows) == sorted(VERBS)


COMMANDS = sorted({(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in commands_of(page)})


def has_key(section, keys):
    for key in keys:
        if not isinstance(section, dict) or key not in section:
            return False
        section = section[key]
    return True


def check_mmf(words):
    options = dict(word.split("=", 1) for word in words[1:])
    if options["config"].startswith("save/"):  # a run's own, which names its model and datasets
        return
    assert options["model"] in {"clipbert", *MMF_MODELS}
    assert set(options["dataset"].split(",")) <= {*SPECS, *EXAMPLES, *MMF_DATASETS}
    assert options["config"].startswith("cooking_steps/") or find_config(options["config"]), options["config"]
    model = yaml.safe_load((ROOT / "configs/models/clipbert/defaults.yaml").read_text())
    for key in options:
        parts = key.split(".")
        if parts[0] == "model_config":
            assert has_key(model, parts), key
        elif parts[0] == "dataset_config" and parts[1] in SPECS:
            data = yaml.safe_load((ROOT / f"configs/datasets/{parts[1]}/defaults.yaml").read_text())
            assert has_key(data, parts), key
        else:
            assert parts[0] in (
                "config",
                "model",
                "dataset",
                "run_type",
                "env",
                "evaluation",
                "training",
                "checkpoint",
                "dataset_config",
                "distributed",
            ), key


@cache
def help_of(tool):
    done = subprocess.run(
        [sys.executable, str(ROOT / tool), "--help"], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_torchrun(words):
    """A launcher's command: torch knows its options, and what it starts is checked as MMF's."""
    from torch.distributed.run import get_args_parser

    known = get_args_parser().parse_args(words[3:])
    assert known.module and known.training_script == "mmf_cli.run", known
    check_mmf(["mmf_run", *known.training_script_args])


def check_tool(words):
    if words[1:3] == ["-m", "torch.distributed.run"]:
        return check_torchrun(words)
    tool = words[1]
    assert (ROOT / tool).is_file(), tool
    # A benchmark's options belong to its subcommand.
    if tool != "tools/benchmark.py":
        for option in words[2:]:
            assert not option.startswith("--") or option.split("=")[0] in help_of(tool), option
    else:
        assert words[2] in help_of(tool)


def check_clipbert(words):
    assert words[1] in VERBS, words[1]
    if words[2:] == ["--help"]:
        return
    parser, _ = load_verb(words[1])
    parser.parse_intermixed_args(words[2:])


def check_bash(words):
    assert (ROOT / words[1]).is_file()
    assert subprocess.run(["bash", "-n", str(ROOT / words[1])]).returncode == 0


CHECKS = {
    "mmf_run": check_mmf,
    "mmf_predict": check_mmf,
    "python": check_tool,
    "clipbert": check_clipbert,
    "bash": check_bash,
}


def test_there_are_commands():
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("page, line", COMMANDS)
def test_a_command_of_the_documentation_names_what_exists(page, line):
    if line.startswith((*FOREIGN, WRITTEN[0])):
        return
    words = shlex.split(line)
    CHECKS[words[0]](words)


def test_the_commands_of_mmf_are_configured_where_there_is_no_checkout(tmp_path):
    """MMF reads and checks the configuration of each, as at the start of a run, in an empty directory."""
    words = {
        line: shlex.split(line)[1:]
        for _, line in COMMANDS
        if line.startswith(("mmf_run", "mmf_predict")) and not line.startswith(WRITTEN)
    }
    assert len(words) > 12
    program = Path(__file__).with_name("configured_commands.py")
    done = subprocess.run(
        [sys.executable, str(program)],
        input=json.dumps(words),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=200,
        env=make_offline_environment(ROOT),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {}


def test_ways_to_install_name_libraries_or_what_lies_here():
    """The package is on no index: ``pip install clipbert_mmf[demo]`` would fail, or fetch somebody else's."""
    sources = [*PAGES, *ROOT.glob("clipbert_mmf/**/*.py"), *ROOT.glob("configs/**/*.yaml")]
    for page in sources:
        assert not re.search(r"pip install .?clipbert_mmf\[", page.read_text(encoding="utf-8")), page


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900


def test_the_configuration_reference_is_up_to_date():
    from tools import make_config_reference

    assert make_config_reference.OUT.read_text(encoding="utf-8") == make_config_reference.render(), (
        "run: python tools/make_config_reference.py"
    )


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("material", reason="mkdocs-material is not installed: pip install mkdocs-material")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--quiet",
            "--site-dir",
            str(tmp_path / "site"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "configuration" / "index.html").is_file()


def test_no_page_names_a_machine():
    for page in PAGES:
        assert not re.search(r"/(root|work|home)/", page.read_text(encoding="utf-8")), page

"""The ``fedfr`` command: finds a command by name, turns its settings into options, runs it.

Commands live in ``apps/commands``, one module each, imported only when asked for. Such a module
holds ``COMMAND``, a :class:`Command`; its settings are declared once, as a dataclass (see
:mod:`fedfr_edge.config`), and become ``--options``, a TOML section and the record of the run.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

import fedfr_edge
from fedfr_edge.config import resolve
from fedfr_edge.errors import FedFRError
from fedfr_edge.extras import missing_part

COMMANDS: dict[str, dict[str, str] | str] = {
    "quickstart": "The whole path on this machine: faces, rounds, ONNX, a login. Start here.",
    "data": {
        "import": "Photo folders or aligned folders into an aligned-face store.",
        "synth": "Render synthetic identities into a store, or whole scenes.",
        "split": "Identities into a public part and clients, images into training and test.",
        "show": "What a store or a split holds.",
    },
    "pretrain": "Train a backbone on public identities (CosFace).",
    "train": "Run FedFR rounds over the clients of a split, through Flower.",
    "federation": {
        "server": "The server of a federation on several machines: a SuperLink and the run on it.",
        "client": "One client of it: a SuperNode with its own faces, kept running.",
        "status": "Rounds, clients, failures and nodes of a federation.",
    },
    "study": "Every method of the paper with several seeds, side by side.",
    "reproduce": "The paper's tables and figures again, at a size that you choose.",
    "runs": {
        "list": "The training runs below a folder: how far they are, and how good.",
        "show": "One training run: settings, data, rounds, failures, files.",
        "compare": "Training runs side by side: settings that differ, curves, best rounds.",
    },
    "dashboard": "Training runs in a browser, as they go on and side by side.",
    "evaluate": {
        "personalised": "1:1 TAR@FAR and 1:N TPIR@FPIR of models on a split's clients.",
        "pairs": "Accuracy and TAR@FAR on a list of pairs (LFW format).",
        "gates": "A second gate and several frames at a login: false accepts at equal genuine accept.",
        "enrolment": "People enrolled whom a personal model was trained on, and whom it was not.",
        "ijbc": "IJB-C: 1:1 TAR@FAR and 1:N TPIR@FPIR of templates, from the official files.",
    },
    "report": "Results on one page: tables, curves, differences, with their intervals.",
    "export": {
        "generic": "The global model as one ONNX file.",
        "personal": "One client's personal model as one ONNX file.",
    },
    "models": {
        "list": "Public model files, their licences, and which of them are here.",
        "get": "Download model files, checked; go on after an interruption.",
        "verify": "Check the model files that are here.",
    },
    "enrol": "Enrol a person, from photographs, a film or a webcam, into an encrypted gallery.",
    "login": "Compare a face before a webcam, in a photograph or a film with the gallery, and decide.",
    "calibrate": "Thresholds for this device, from people who are not enrolled.",
    "serve": "Enrolment and login in a browser, with its camera.",
    "gallery": {
        "list": "Who is enrolled.",
        "delete": "Forget a person: template and key.",
        "export": "All people to one file under a passphrase, for another device.",
        "import": "The people of such a file into a gallery.",
        "rekey": "A new key, or another place for it; accept a restored copy.",
        "unlock": "Another factor was used: face login is on again.",
    },
    "audit": {
        "show": "A gallery's log of enrolments, logins and deletions.",
        "verify": "Whether anybody edited, cut, reordered or extended that log.",
    },
    "bench": {
        "train": "What training costs on this machine, against plain loops in the same run.",
        "federation": "What a federated round costs beyond training.",
        "evaluate": "What evaluating a client of the paper's size costs, against the bare matrix product.",
        "device": "What a login costs here, against insightface's pipeline over the same networks.",
    },
    "doctor": "What is installed, what is in effect, and what to do about each fault.",
}
"""The command tree. ``data import`` is the module ``fedfr_edge.apps.commands.data_import``."""

_GROUP_HELP = {
    "audit": "The log of an encrypted gallery.",
    "bench": "Measure this machine.",
    "data": "Make, split and look at stores of aligned faces.",
    "evaluate": "Measure torch checkpoints and exported models.",
    "export": "Write models as ONNX, checked against torch.",
    "models": "Detectors and other public model files; nothing is downloaded unasked.",
    "federation": "Rounds over several machines (docs/deploy.md).",
    "gallery": "Look after an encrypted gallery.",
    "runs": "Tell training runs apart.",
}


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes:
        section: its TOML section, for example ``"evaluate.pairs"``.
        config: the dataclass of its settings.
        run: does the job; a :class:`FedFRError` becomes one line and exit status 1, an ``int``
            that it returns becomes the exit status (``login`` says "no" with one).
        help: text of ``--help``: what it does, then ``In:`` and ``Out:``.
    """

    section: str
    config: type[Any]
    run: Callable[[Any], int | None]
    help: str


class _LazyGroup(click.Group):
    """A group that imports a command's module only when that command is asked for."""

    def __init__(self, tree: dict[str, Any], prefix: str = "", **settings: Any) -> None:
        super().__init__(**settings)
        self.tree, self.prefix = tree, prefix

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.tree)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        entry = self.tree.get(name)
        if entry is None:
            return None
        if isinstance(entry, dict):
            return _LazyGroup(entry, prefix=f"{name}_", name=name, help=_GROUP_HELP[name])
        module = importlib.import_module(f"fedfr_edge.apps.commands.{self.prefix}{name}")
        return _click_command(name, module.COMMAND)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        # The short texts stand in the tree, so that a list of commands imports none of them.
        rows = [
            (name, _GROUP_HELP[name] if isinstance(entry, dict) else entry)
            for name, entry in self.tree.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _click_command(name: str, command: Command) -> click.Command:
    hints = typing.get_type_hints(command.config)
    parameters: list[click.Parameter] = []
    for field in dataclasses.fields(command.config):
        parameters.extend(_parameters(field, hints[field.name]))
    parameters.append(
        click.Option(
            ["--config", "_config"],
            type=click.Path(path_type=Path),
            metavar="FILE.toml",
            help=f"settings from [{command.section}] of a TOML file; options override it",
        )
    )

    def callback(_config: Path | None, **given: Any) -> None:
        overrides: dict[str, Any] = {}
        for key, value in given.items():
            if value is None or value == ():
                continue
            overrides[key.removesuffix("__argument")] = value
        status = command.run(resolve(command.config, command.section, _config, overrides))
        if status:
            raise click.exceptions.Exit(status)

    return click.Command(name, params=parameters, callback=callback, help=command.help)


def _parameters(field: dataclasses.Field[Any], hint: Any) -> list[click.Parameter]:
    """The option of one setting, and its positional argument where it has one.

    No option has a default of its own: "not given" must stay apart from "given", so that a
    configuration file can speak in between.
    """
    many, inner = _unwrap(hint)
    kind: Any = inner
    if typing.get_origin(inner) is Literal:
        kind = click.Choice(list(typing.get_args(inner)))
    elif inner is Path:
        kind = click.Path(path_type=Path)
    # A setting called like a word of Python has an underscore behind it: from_ is --from.
    flag = "--" + field.name.rstrip("_").replace("_", "-")
    names = [f"{flag}/--no-{flag[2:]}" if inner is bool else flag, field.name]
    if field.metadata.get("short"):
        names.insert(0, f"-{field.metadata['short']}")
    parameters: list[click.Parameter] = [
        click.Option(
            names,
            type=None if inner is bool else kind,
            multiple=many,
            default=None,
            help=field.metadata["help"] + _default_text(field, many),
        )
    ]
    if field.metadata.get("argument"):
        parameters.append(
            click.Argument(
                [f"{field.name}__argument"],
                type=kind,
                nargs=-1 if many else 1,
                required=False,
                metavar=f"[{field.name.upper()}]" + ("..." if many else ""),
            )
        )
    return parameters


def _unwrap(hint: Any) -> tuple[bool, Any]:
    """``(is a list, type of one value)`` of a setting's annotation."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _unwrap(next(argument for argument in arguments if argument is not type(None)))
    if origin is tuple:
        return True, arguments[0]
    return False, hint


def _default_text(field: dataclasses.Field[Any], many: bool) -> str:
    repeat = "; may be repeated" if many else ""
    if field.default is dataclasses.MISSING:
        return f"{repeat}  [required]"
    if field.default is None or field.default == ():
        return repeat
    if isinstance(field.default, bool):
        return f"{repeat}  [default: {'on' if field.default else 'off'}]"
    shown = " ".join(map(str, field.default)) if many else field.default
    return f"{repeat}  [default: {shown}]"


def _print_version(context: click.Context) -> None:
    click.echo(f"fedfr-edge {fedfr_edge.__version__}")
    context.exit()


application = _LazyGroup(
    COMMANDS,
    name="fedfr",
    help="Face recognition that learns on the device: train, export, enrol, log in.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
application.params.append(
    click.Option(
        ["--version"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        help="Print the version and exit.",
        callback=lambda context, _, value: _print_version(context) if value else None,
    )
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0: the job was done. 1: an error the user can mend, or a login that was refused (each command's
    help says which). 2: the command line itself was wrong. 130: interrupted.
    """
    try:
        result = application.main(arguments, prog_name="fedfr", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (FedFRError, ModuleNotFoundError) as error:
        told = missing_part(error) if isinstance(error, ModuleNotFoundError) else error
        if told is None:
            raise
        click.echo("error: " + " ".join(str(told).split()), err=True)
        return 1
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted; what was written so far is kept", err=True)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; there is nobody to tell.
        sys.stderr.close()
        return 1
    return result if isinstance(result, int) else 0


def run() -> None:
    """Entry point of the installed ``fedfr`` program."""
    sys.exit(main())

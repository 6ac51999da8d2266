"""What every command shares: one line per error the user can mend, logging, guards around Hydra's modes."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import RunMode

from bioinstruct.config import register_schemas
from bioinstruct.errors import PrerequisiteError, UserError

EXIT_USER_ERROR = 2


def run_hydra(job: Callable[[], None]) -> None:
    """Runs a @hydra.main function with the schemas and the launchers of this project in place."""
    from hydra_plugins.bioinstruct_launcher import LAUNCHERS

    register_schemas()
    for launcher in LAUNCHERS:
        Plugins.instance().register(launcher)
    job()


@contextmanager
def user_errors() -> Iterator[None]:
    """Ends the program with one line and exit code 2 for an error that the user can mend."""
    try:
        yield
    except (UserError, PrerequisiteError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)


def log_to_console() -> None:
    """One line per event on standard error, without what the libraries below say of themselves."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    for noisy in ("absl", "bitsandbytes", "fsspec", "httpx", "httpx2", "matplotlib", "openai", "torch"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    for module in ("transformers", "pytorch_lightning", "lightning_fabric", "peft", "torch"):
        warnings.filterwarnings("ignore", module=module)


def refuse_sweep_without_multirun() -> None:
    """Raises UserError where sweep=… was chosen without -m: it would quietly run one cell."""
    chosen = HydraConfig.get()
    sweep = chosen.runtime.choices.get("sweep")
    if sweep is not None and chosen.mode is not RunMode.MULTIRUN:
        raise UserError(
            f"sweep={sweep} names a grid of cells, and without -m only one cell would run; "
            f"write: bioinstruct-train -m sweep={sweep} …"
        )


def sweep_name_of_multirun() -> str | None:
    """Folder name of the multirun this job belongs to, or None outside one."""
    hydra = HydraConfig.get()
    return hydra.sweep.dir.rstrip("/").rsplit("/", 1)[-1] if hydra.mode is RunMode.MULTIRUN else None

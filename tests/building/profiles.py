"""The filter profiles of conf/filters as typed configurations."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from omegaconf import OmegaConf

from bioinstruct.config.building import FiltersConfig

FILTERS_FOLDER = Path(__file__).resolve().parents[2] / "conf" / "filters"


def load_profile(name: str) -> FiltersConfig:
    """The profile of conf/filters/<name>.yaml."""
    merged = OmegaConf.merge(OmegaConf.structured(FiltersConfig), OmegaConf.load(FILTERS_FOLDER / f"{name}.yaml"))
    return cast(FiltersConfig, OmegaConf.to_object(merged))

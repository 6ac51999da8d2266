"""bioinstruct-describe: datasheet, pictures and dataset card of an instruction or seed file; export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig

from bioinstruct.command import log_to_console, run_hydra, user_errors
from bioinstruct.config.building import DescribeConfig

if TYPE_CHECKING:
    from bioinstruct.building.datasheet import TokenCounter


@hydra.main(version_base="1.3", config_path="pkg://bioinstruct.conf", config_name="describe")
def describe(config: DictConfig) -> None:
    """Writes the datasheet and the exports, prints where."""
    with user_errors():
        from bioinstruct.config import typed_config
        from bioinstruct.runs import check_name

        typed = typed_config(config, DescribeConfig)
        if typed.name is not None:
            check_name(typed.name, key="name")
        log_to_console()
        _describe(typed)


def _describe(config: DescribeConfig) -> None:
    from bioinstruct.building.datasheet import describe as make_datasheet
    from bioinstruct.building.datasheet import example_records, to_html, to_markdown
    from bioinstruct.building.export import export, make_card
    from bioinstruct.building.pictures import draw, render
    from bioinstruct.records import apply_labels, read_records
    from bioinstruct.runs import write_atomic

    path = Path(config.input).expanduser()
    records = read_records(path)
    if config.labels is not None:
        records = apply_labels(records, Path(config.labels).expanduser(), field=config.label_field)
    name = config.name or path.stem
    folder = Path(config.output_root) / "datasheets" / name
    sheet = make_datasheet(records, title=config.title or name, tokenizer=_load_tokenizer(config.tokenizer))
    figures = draw(sheet)
    svgs = {picture: render(figure, "svg") for picture, figure in figures.items()}
    for picture, figure in figures.items():
        write_atomic(folder / f"{picture}.png", render(figure, "png"))
        write_atomic(folder / f"{picture}.svg", svgs[picture])
    examples = example_records(records.records)
    markdown = to_markdown(sheet, pictures=[f"{picture}.png" for picture in figures])
    write_atomic(folder / "datasheet.md", markdown)
    svg_texts = {picture: svg.decode() for picture, svg in svgs.items()}
    write_atomic(folder / "datasheet.html", to_html(sheet, svgs=svg_texts, examples=examples))
    card = make_card(sheet, records.records, license_name=config.license)
    write_atomic(folder / "card.md", card)
    written = export(records.records, config.export, folder=folder, card=card)
    print(markdown.split("\n!", maxsplit=1)[0])
    print(f"datasheet: {folder / 'datasheet.html'}")
    for file in written:
        print(f"exported: {file}")


def _load_tokenizer(name: str | None) -> TokenCounter | None:
    if name is None:
        return None
    from transformers import AutoTokenizer

    from bioinstruct.errors import PrerequisiteError

    try:
        tokenizer: TokenCounter = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise PrerequisiteError(
            f"tokenizer={name!r} cannot be loaded ({str(error).splitlines()[0]}); give a folder or a Hub id"
        ) from error
    return tokenizer


def main() -> None:
    run_hydra(describe)


if __name__ == "__main__":
    main()

"""Which license a model is shared under, as the Hugging Face Hub spells it."""

from collections.abc import Iterator

from embexp.errors import did_you_mean

# As in https://huggingface.co/docs/hub/repositories-licenses.
LICENSES = frozenset(
    [
        "apache-2.0",
        "mit",
        "openrail",
        "bigscience-openrail-m",
        "creativeml-openrail-m",
        "bigscience-bloom-rail-1.0",
        "bigcode-openrail-m",
        "afl-3.0",
        "artistic-2.0",
        "bsl-1.0",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsd-3-clause-clear",
        "c-uda",
        "cc",
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nd-4.0",
        "cc-by-nc-nd-3.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "cdla-sharing-1.0",
        "cdla-permissive-1.0",
        "cdla-permissive-2.0",
        "wtfpl",
        "ecl-2.0",
        "epl-1.0",
        "epl-2.0",
        "etalab-2.0",
        "eupl-1.1",
        "eupl-1.2",
        "agpl-3.0",
        "gfdl",
        "gpl",
        "gpl-2.0",
        "gpl-3.0",
        "lgpl",
        "lgpl-2.1",
        "lgpl-3.0",
        "isc",
        "h-research",
        "intel-research",
        "lppl-1.3c",
        "ms-pl",
        "apple-ascl",
        "apple-amlr",
        "mpl-2.0",
        "odc-by",
        "odbl",
        "openmdw-1.0",
        "openmdw-1.1",
        "openrail++",
        "osl-3.0",
        "postgresql",
        "ofl-1.1",
        "ncsa",
        "unlicense",
        "zlib",
        "pddl",
        "lgpl-lr",
        "deepfloyd-if-license",
        "fair-noncommercial-research-license",
        "llama2",
        "llama3",
        "llama3.1",
        "llama3.2",
        "llama3.3",
        "llama4",
        "grok2-community",
        "gemma",
        "unknown",
        "other",
    ]
)


def license_misfits(
    name: str, license: str | None, license_name: str | None, license_link: str | None
) -> Iterator[str]:
    """What is missing or not known of a license, with what to type; nothing where all is said.

    Args:
        name: of the export.
        license_name, license_link: those of license `other`.
    """
    other = {"license_name": license_name, "license_link": license_link}
    if license == "other" and (missing := [key for key, value in other.items() if not value]):
        yield (
            f"export.{name}.license=other tells no license. Expected its name and where to read it: type "
            f"{' '.join(f'export.{name}.{key}=<{key}>' for key in missing)}."
        )
    if license != "other" and (given := [key for key, value in other.items() if value]):
        yield f"export.{name}.{given[0]} goes with license=other. Leave it out, or type export.{name}.license=other."
    if license in LICENSES:
        return
    problem = f"export.{name}.license={license} is no license that the Hub knows" if license else ""
    hint = did_you_mean(license or "", LICENSES)
    yield (
        f"{problem or f'export={name} has no license'}. {hint}{' ' * bool(hint)}It has no default: the licenses of the "
        f"training data and of the base model decide which ones are possible. Read both, then type "
        f"export.{name}.license=apache-2.0 (or mit, cc-by-4.0, cc-by-nc-sa-4.0, other ...)."
    )
